// The steps of a run as a tree: what an agent did stands within the tool call that asked it. Pure.
import type { Step, SubagentStep } from "../protocol/run";

export interface Branch {
  /** The step's place in the run. */
  readonly key: number;
  readonly step: Step;
  /** The agent that this tool call asked. */
  readonly asked: SubagentStep | null;
  readonly inside: readonly Branch[];
}

interface Growing extends Branch {
  asked: SubagentStep | null;
  readonly inside: Growing[];
}

/** A sub-agent is part of the tool call that asked it; one without a tool call stands for itself. */
export function branches(steps: readonly Step[]): readonly Branch[] {
  const roots: Growing[] = [];
  const calls = new Map<string, Growing>();
  steps.forEach((step, key) => {
    const branch: Growing = { key, step, asked: null, inside: [] };
    const call = step.kind === "subagent" ? step.parent_tool_call_id : step.within;
    const parent = call === undefined ? undefined : calls.get(call);
    if (step.kind === "tool") calls.set(step.tool_call_id, branch);
    if (step.kind === "subagent" && parent?.step.kind === "tool") {
      parent.asked = step;
      return;
    }
    if (step.kind === "subagent") calls.set(step.parent_tool_call_id, branch);
    const siblings = step.kind === "subagent" ? roots : (parent?.inside ?? roots);
    siblings.push(branch);
  });
  return roots;
}
