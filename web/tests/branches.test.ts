import assert from "node:assert/strict";
import { test } from "node:test";
import { type Branch, branches } from "../src/chat/branches";
import { fold, INITIAL } from "../src/protocol/fold";
import type { RunEvent, RunEventData, RunEventType } from "../src/protocol/frames";
import { event, established } from "./frames";

class Log {
  readonly events: RunEvent[] = [event(1, "message_created", { message: { id: "q", role: "user", content: "?" } })];

  add<Type extends RunEventType>(agent: string, type: Type, data: RunEventData[Type]): this {
    this.events.push(event(this.events.length + 1, type, data, { agent }));
    return this;
  }

  tool(agent: string, id: string): this {
    return this.add(agent, "tool_executing", { tool_call_id: id, tool: `tool ${id}`, arguments: {} });
  }

  tree(): string[] {
    const state = this.events.reduce(fold, fold(INITIAL, established()));
    return branches(state.runs["run"]?.steps ?? []).map(outline);
  }
}

function outline({ step, asked, inside }: Branch): string {
  const name = step.kind === "tool" ? step.tool : step.kind === "subagent" ? `agent ${step.subagent}` : `${step.kind} of ${step.agent}`;
  const below = inside.length === 0 ? "" : `(${inside.map(outline).join(" ")})`;
  return `${name}${asked ? ` asks ${asked.subagent}` : ""}${below}`;
}

test("what a sub-agent does stands within the call that asked it, over two levels", () => {
  const log = new Log()
    .add("triage", "agent_thinking", { step: 1, text: "" })
    .tool("triage", "1")
    .add("triage", "subagent_started", { subagent: "data", parent_tool_call_id: "1" })
    .add("data", "agent_thinking", { step: 1, text: "" })
    .tool("data", "2")
    .add("data", "subagent_started", { subagent: "optimization", parent_tool_call_id: "2" })
    .tool("optimization", "3")
    .add("data", "subagent_completed", { subagent: "optimization", parent_tool_call_id: "2", result: "" })
    .add("data", "agent_thinking", { step: 2, text: "" })
    .add("triage", "subagent_completed", { subagent: "data", parent_tool_call_id: "1", result: "" })
    .add("triage", "agent_thinking", { step: 2, text: "" });
  assert.deepEqual(log.tree(), [
    "thinking of triage",
    "tool 1 asks data(thinking of data tool 2 asks optimization(tool 3) thinking of data)",
    "thinking of triage",
  ]);
});

test("the same agent asked twice has the steps of each time where they belong", () => {
  const log = new Log();
  for (const call of ["1", "2"]) {
    log
      .tool("triage", call)
      .add("triage", "subagent_started", { subagent: "data", parent_tool_call_id: call })
      .add("data", "agent_thinking", { step: 1, text: call })
      .add("triage", "subagent_completed", { subagent: "data", parent_tool_call_id: call, error: "no" });
  }
  assert.deepEqual(log.tree(), ["tool 1 asks data(thinking of data)", "tool 2 asks data(thinking of data)"]);
});

test("a sub-agent without its tool call stands for itself", () => {
  const log = new Log()
    .add("triage", "subagent_started", { subagent: "data", parent_tool_call_id: "1" })
    .tool("data", "2")
    .add("triage", "subagent_completed", { subagent: "data", parent_tool_call_id: "1", result: "" })
    .tool("triage", "3");
  assert.deepEqual(log.tree(), ["agent data(tool 2)", "tool 3"]);
});
