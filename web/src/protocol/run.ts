// One run's events folded into its state. The field names are those of `chat/fold.py`.
import type { RunEvent, RunEventData, RunStatus, Truncated, Usage, WireAnswer, WireMessage } from "./frames";

/** Whose step it is, and the tool call that asked that agent, if one did. */
interface Whose {
  readonly agent: string;
  readonly within?: string;
}

/** Moments are timestamps of events, by the server's clock. A thought that goes on has no end. */
export type ThinkingStep = Whose & {
  readonly kind: "thinking";
  readonly step: number;
  readonly text: string;
  readonly began_at: string;
  readonly ended_at?: string;
};

export type ToolStep = Whose & {
  readonly kind: "tool";
  readonly tool_call_id: string;
  readonly tool: string;
  readonly arguments: unknown;
  readonly began_at: string;
  readonly status: "running" | "completed" | "failed";
  readonly result?: unknown;
  readonly truncated?: Truncated;
  readonly error?: string;
  readonly duration_ms?: number;
};

export type SubagentStep = Whose & {
  readonly kind: "subagent";
  readonly subagent: string;
  readonly parent_tool_call_id: string;
  readonly began_at: string;
  readonly status: "running" | "completed" | "failed";
  readonly result?: unknown;
  readonly error?: string;
};

export type ContextStep = Whose & { readonly kind: "context" } & RunEventData["context_reduced"];

export type Step = ThinkingStep | ToolStep | SubagentStep | ContextStep;

export interface Approval {
  /** Who asks. */
  readonly agent: string;
  readonly tool: string;
  readonly arguments: unknown;
  /** They are the beginning only. */
  readonly truncated?: Truncated;
  /** Seconds from `asked_at`, by the server's clock. */
  readonly expires_in: number;
  readonly asked_at: string;
  readonly approved: boolean | null;
  readonly by: RunEventData["approval_resolved"]["by"] | null;
  readonly reason?: string;
}

export interface RunFailure {
  readonly error_code: string;
  readonly error_message: string;
  readonly retryable: boolean;
  readonly correlation_id?: string;
}

export interface RunState {
  readonly run_number: number;
  readonly last_seq: number;
  readonly thread_id: string | null;
  readonly agent: string | null;
  readonly status: RunStatus;
  readonly attempt: number;
  readonly question: Pick<WireMessage, "id" | "content" | "parent_id" | "attachments"> | null;
  readonly model: string | null;
  readonly text: string;
  readonly steps: readonly Step[];
  readonly approvals: Readonly<Record<string, Approval>>;
  readonly message: WireMessage | null;
  readonly error: RunFailure | null;
  readonly cancelled_by: "user" | "interrupt" | "deleted" | "staff" | "deactivated" | null;
  readonly usage: Usage | null;
  readonly duration_ms: number | null;
}

export function unbegun(runNumber: number, threadId: string | null, status: RunStatus): RunState {
  return {
    run_number: runNumber,
    last_seq: 0,
    thread_id: threadId,
    agent: null,
    status,
    attempt: 1,
    question: null,
    model: null,
    text: "",
    steps: [],
    approvals: {},
    message: null,
    error: null,
    cancelled_by: null,
    usage: null,
    duration_ms: null,
  };
}

/** Apply the run's next event. One of an unknown type only moves the cursor. */
export function foldEvent(run: RunState, event: RunEvent): RunState {
  const steps = thoughtsEnded(run.steps, event);
  const before = steps === run.steps ? run : { ...run, steps };
  return { ...before, ...changeBy(before, event), last_seq: event.seq };
}

function changeBy(run: RunState, event: RunEvent): Partial<RunState> {
  switch (event.type) {
    case "message_created":
      return {
        thread_id: event.thread_id,
        agent: event.agent,
        question: picked(event.data.message, ["id", "content", "parent_id", "attachments"]),
        status: "queued",
      };
    case "agent_started":
      return { agent: event.agent, status: "running", model: event.data.model, attempt: event.data.attempt };
    case "agent_restarted":
      return { text: "", steps: [], model: null, attempt: event.data.attempt, status: "queued" };
    case "agent_response_chunk":
      return { text: run.text + event.data.text };
    case "approval_required":
    case "approval_resolved":
      return approvalChange(run, event);
    case "agent_completed":
    case "agent_error":
    case "agent_cancelled":
      return ending(event, run.text);
    default:
      return { steps: foldStep(run.steps, event) };
  }
}

type EventOf<Type extends RunEvent["type"]> = Extract<RunEvent, { type: Type }>;

function approvalChange(run: RunState, event: EventOf<"approval_required" | "approval_resolved">): Partial<RunState> {
  const id = event.data.tool_call_id;
  if (event.type === "approval_required") {
    const asked = picked(event.data, ["tool", "arguments", "truncated", "expires_in"]);
    const approval: Approval = { agent: event.agent, ...asked, asked_at: event.timestamp, approved: null, by: null };
    return { approvals: { ...run.approvals, [id]: approval }, status: "awaiting_approval" };
  }
  const before = run.approvals[id];
  if (!before) return {};
  const approvals = { ...run.approvals, [id]: { ...before, ...picked(event.data, ["approved", "by", "reason"]) } };
  const decided = Object.values(approvals).every((approval) => approval.approved !== null);
  return decided ? { approvals, status: "queued" } : { approvals };
}

function ending(event: EventOf<"agent_completed" | "agent_error" | "agent_cancelled">, text: string): Partial<RunState> {
  const message = event.data.message ? wholeAnswer(event.data.message, text) : null;
  switch (event.type) {
    case "agent_completed":
      return { message, status: "completed", usage: event.data.usage, duration_ms: event.data.duration_ms };
    case "agent_error":
      return {
        message,
        status: "failed",
        error: picked(event.data, ["error_code", "error_message", "retryable", "correlation_id"]),
      };
    case "agent_cancelled":
      return { message, status: "cancelled", cancelled_by: event.data.by };
  }
}

/** The content of a truncated answer is the text of the run's chunks. */
function wholeAnswer(answer: WireAnswer, text: string): WireMessage {
  return "truncated" in answer ? { id: answer.id, role: answer.role, content: text } : answer;
}

function foldStep(steps: readonly Step[], event: RunEvent): readonly Step[] {
  const began_at = event.timestamp;
  switch (event.type) {
    case "agent_thinking":
      return thought(steps, event);
    case "tool_executing": {
      if (runningTool(steps, event.data.tool_call_id) >= 0) return steps;
      const { tool_call_id, tool, arguments: given } = event.data;
      return [...steps, { kind: "tool", ...whose(steps, event), tool_call_id, tool, arguments: given, began_at, status: "running" }];
    }
    case "tool_completed":
      return toolEnded(steps, event);
    case "subagent_started":
      if (runningSubagent(steps, event.data) >= 0) return steps;
      return [...steps, { kind: "subagent", ...whose(steps, event), ...event.data, began_at, status: "running" }];
    case "subagent_completed":
      return subagentEnded(steps, event);
    case "context_reduced":
      return [...steps, { kind: "context", ...whose(steps, event), ...event.data }];
    default:
      return steps;
  }
}

function thought(steps: readonly Step[], event: EventOf<"agent_thinking">): readonly Step[] {
  const at = latestThought(steps, whose(steps, event));
  const latest = steps[at];
  if (latest?.kind === "thinking" && latest.step === event.data.step) {
    const { ended_at: _, ...going } = latest;
    return replaced(steps, at, { ...going, text: latest.text + event.data.text });
  }
  return [...steps, { kind: "thinking", ...whose(steps, event), ...event.data, began_at: event.timestamp }];
}

function latestThought(steps: readonly Step[], { agent, within }: Whose): number {
  return lastIndex(steps, (step) => step.kind === "thinking" && step.agent === agent && step.within === within);
}

/** What is thought to its end when this happens. */
function thoughtsEnded(steps: readonly Step[], event: RunEvent): readonly Step[] {
  switch (event.type) {
    case "agent_completed":
    case "agent_error":
    case "agent_cancelled":
      return steps.reduce((all, _, at) => thoughtEnded(all, at, event.timestamp), steps);
    case "context_reduced":
      return steps;
    case "subagent_completed":
      return thoughtEnded(
        steps,
        lastIndex(steps, (step) => step.kind === "thinking" && step.within === event.data.parent_tool_call_id),
        event.timestamp,
      );
    default: {
      const at = latestThought(steps, whose(steps, event));
      const latest = steps[at];
      const goesOn = event.type === "agent_thinking" && latest?.kind === "thinking" && latest.step === event.data.step;
      return goesOn ? steps : thoughtEnded(steps, at, event.timestamp);
    }
  }
}

function thoughtEnded(steps: readonly Step[], at: number, ended_at: string): readonly Step[] {
  const step = steps[at];
  return step?.kind === "thinking" && step.ended_at === undefined ? replaced(steps, at, { ...step, ended_at }) : steps;
}

function toolEnded(steps: readonly Step[], event: EventOf<"tool_completed">): readonly Step[] {
  const { tool_call_id, tool } = event.data;
  const at = runningTool(steps, tool_call_id);
  const begun = (steps[at] as ToolStep | undefined) ?? {
    kind: "tool" as const,
    ...whose(steps, event),
    tool_call_id,
    tool,
    arguments: {},
    began_at: event.timestamp,
  };
  const status = "error" in event.data ? "failed" : "completed";
  return replaced(steps, at, { ...begun, status, ...picked(event.data, ["result", "truncated", "error", "duration_ms"]) });
}

function subagentEnded(steps: readonly Step[], event: EventOf<"subagent_completed">): readonly Step[] {
  const at = runningSubagent(steps, event.data);
  const begun = (steps[at] as SubagentStep | undefined) ?? {
    kind: "subagent" as const,
    ...whose(steps, event),
    ...picked(event.data, ["subagent", "parent_tool_call_id"]),
    began_at: event.timestamp,
  };
  const status = "error" in event.data ? "failed" : "completed";
  return replaced(steps, at, { ...begun, status, ...picked(event.data, ["result", "error"]) });
}

/**
 * An agent's step is within the tool call that its event names. Events of earlier versions name none: theirs is that of
 * the latest running sub-agent of that name.
 */
function whose(steps: readonly Step[], { agent, data }: RunEvent): Whose {
  if ("within" in data && data.within !== undefined) return { agent, within: data.within };
  const asked = steps[lastIndex(steps, (step) => step.kind === "subagent" && step.subagent === agent && step.status === "running")];
  return asked?.kind === "subagent" ? { agent, within: asked.parent_tool_call_id } : { agent };
}

function runningTool(steps: readonly Step[], id: string): number {
  return lastIndex(steps, (step) => step.kind === "tool" && step.tool_call_id === id && step.status === "running");
}

function runningSubagent(steps: readonly Step[], { subagent, parent_tool_call_id: parent }: EventOf<"subagent_started">["data"]): number {
  return lastIndex(
    steps,
    (step) => step.kind === "subagent" && step.status === "running" && step.subagent === subagent && step.parent_tool_call_id === parent,
  );
}

/** The steps with one at this place; at -1 it is a new one. */
function replaced(steps: readonly Step[], at: number, step: Step): readonly Step[] {
  return at < 0 ? [...steps, step] : steps.map((each, index) => (index === at ? step : each));
}

function lastIndex(steps: readonly Step[], wanted: (step: Step) => boolean): number {
  for (let index = steps.length - 1; index >= 0; index -= 1) {
    const step = steps[index];
    if (step && wanted(step)) return index;
  }
  return -1;
}

/** The named fields that are there. */
function picked<Source extends object, Name extends keyof Source>(source: Source, names: readonly Name[]): Pick<Source, Name> {
  return Object.fromEntries(names.filter((name) => name in source).map((name) => [name, source[name]])) as Pick<Source, Name>;
}
