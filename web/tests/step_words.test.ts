import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { AnswerView } from "../src/chat/turns";
import type { Step, ThinkingStep } from "../src/protocol/run";
import { figures, isThinking, isWriting, lastLine, neverBegan, outcome, phaseOf, silentSince, statusIn, thoughtWords, toolWords } from "../src/view/step_words";
import { bytesOf, folded, pretty } from "../src/view/values";
import { activity, errorAdvice, errorSentence } from "../src/view/wording";

declare const TRACES: string;

const view = (given: Partial<AnswerView> = {}): AnswerView => ({
  messageId: null, agent: "triage", model: "m", status: "running", attempt: 1, steps: [], stepsKnown: true, approvals: {}, text: "",
  error: null, cancelledBy: null, usage: null, durationMs: null, ...given,
});
const thought = (given: Partial<ThinkingStep> = {}): ThinkingStep => ({
  kind: "thinking", agent: "triage", step: 1, text: "hm", began_at: "2026-11-23T19:00:00.000Z", ...given,
});
const tool = (status: "running" | "completed", agent = "triage"): Step => ({
  kind: "tool", agent, tool_call_id: "1", tool: "count", arguments: {}, began_at: "", status,
});

test("every code of the server has a sentence that says what happened, and one that says what can be done", () => {
  const codes = [...readFileSync(join(TRACES, "../../chat/errors.py"), "utf8").matchAll(/^ {4}([A-Z_]+) = "\1"/gm)].map(([, code]) => code ?? "");
  assert.ok(codes.length > 40, String(codes.length));
  const without = (words: (code: string) => string | null): string[] => codes.filter((code) => !words(code) || words(code) === `The server answered ${code}.`);
  assert.deepEqual(without((code) => errorSentence(code, "")), []);
  assert.deepEqual(without(errorAdvice), []);
  assert.equal(errorAdvice("NEW_CODE"), null);
});

test("a tool's name is told in words", () => {
  assert.deepEqual(["send_letter", "sendLetter", "web-search", "mcp.list_files", "x", "_"].map(toolWords), [
    "Send letter", "Send letter", "Web search", "Mcp list files", "X", "_",
  ]);
});

test("how long was thought is counted between the server's times", () => {
  const took = (ended_at: string): string => thoughtWords(thought({ ended_at }));
  assert.equal(took("2026-11-23T19:00:04.900Z"), "Thought for 4s");
  assert.equal(took("2026-11-23T19:01:05.000Z"), "Thought for 1m 5s");
  assert.equal(took("2026-11-23T19:00:00.900Z"), "Thought for a moment");
  assert.equal(thoughtWords(thought()), "Thought for a moment");
  assert.equal(lastLine("One.\nTwo, three.\n", 200), "Two, three.");
  assert.equal(lastLine("abcdef", 3), "def");
});

test("a thought goes on until it has an end, or its run has", () => {
  assert.equal(isThinking(thought(), "running"), true);
  assert.equal(isThinking(thought({ ended_at: "2026-11-23T19:00:04Z" }), "running"), false);
  for (const phase of ["waiting", "completed", "failed", "cancelled"] as const) assert.equal(isThinking(thought(), phase), false);
});

test("the answer is being written when it has text and nothing else goes on", () => {
  assert.equal(isWriting(view({ text: "So" })), true);
  assert.equal(isWriting(view({ text: "" })), false);
  assert.equal(isWriting(view({ text: "So", steps: [tool("running")] })), false);
  assert.equal(isWriting(view({ text: "So", steps: [tool("completed"), thought()] })), false);
  assert.equal(isWriting(view({ text: "So", steps: [thought({ ended_at: "x" })] })), true);
  assert.equal(isWriting(view({ text: "So", steps: [thought({ within: "1", agent: "data" })] })), true);
});

test("of a thought without words it is told how long it lasts", () => {
  const silent = thought({ text: "" });
  assert.equal(silentSince(view({ steps: [silent] })), silent.began_at);
  assert.equal(silentSince(view({ steps: [thought()] })), null);
  assert.equal(silentSince(view({ status: "failed", steps: [silent] })), null);
  assert.equal(silentSince(view({ steps: [{ ...silent, within: "1" }] })), null);
});

test("what ran when its run ended says how, and nothing goes on in a run that has ended", () => {
  const phases = (["queued", "running", "awaiting_approval", "completed", "failed", "cancelled"] as const).map((status) => phaseOf({ status }));
  assert.deepEqual(phases.map((phase) => statusIn(phase, "running")), ["running", "running", "waiting", "interrupted", "interrupted", "stopped"]);
  assert.deepEqual(phases.map((phase) => statusIn(phase, "failed")), Array(6).fill("failed"));
});

test("an answer that is not whole says why", () => {
  const said = (given: Partial<AnswerView>): string | null => outcome(view({ text: "So", ...given }));
  assert.equal(said({ status: "running" }), null);
  assert.equal(said({ status: "completed" }), null);
  assert.equal(said({ status: "failed" }), "The answer is incomplete");
  assert.equal(said({ status: "failed", text: "" }), null);
  assert.equal(said({ status: "cancelled", cancelledBy: "user" }), "Stopped by you");
  assert.equal(said({ status: "cancelled", cancelledBy: "interrupt" }), "Interrupted by your next message");
  assert.equal(said({ status: "cancelled", cancelledBy: "deleted" }), "Stopped as the conversation was deleted");
  assert.equal(said({ status: "cancelled", cancelledBy: "staff" }), "Stopped by an administrator");
  assert.equal(said({ status: "cancelled", cancelledBy: "deactivated" }), "Stopped as the account was deactivated");
  assert.equal(said({ status: "cancelled", text: "", model: null }), "Cancelled before it began");
  assert.equal(neverBegan(view({ status: "cancelled", model: null, durationMs: 12 })), false);
});

test("a run that was begun again says which attempt it is", () => {
  assert.equal(activity(view({ status: "queued", attempt: 2 }), false), "The worker was lost. Starting again, attempt 2…");
  assert.equal(activity(view({ status: "queued" }), false), "Waiting to start…");
});

test("figures of what was used have names, and a cost only where a price is known", () => {
  const usage = { model: "m", input_tokens: 1200, output_tokens: 34, requests: 2 };
  const told = (cost: number | null): string[] => figures(usage, cost).map(({ value }) => value);
  assert.deepEqual(told(0.00000213), ["2", "1,200", "34", "$0.00000213"]);
  assert.equal(told(0).at(-1), "free of charge");
  assert.equal(told(null).at(-1), "not known");
});

test("JSON is laid out, also when it came as text; other text stays", () => {
  assert.equal(pretty({ a: [1] }), '{\n  "a": [\n    1\n  ]\n}');
  assert.equal(pretty('{"a":1}'), '{\n  "a": 1\n}');
  assert.deepEqual(["{not json", "plain", "12", ""].map(pretty), ["{not json", "plain", "12", ""]);
  assert.equal(pretty(12), "12");
  assert.equal(pretty(undefined), "");
});

test("a long text is folded to its beginning, and no character is cut in half", () => {
  assert.equal(folded("short\ntext"), null);
  assert.equal(folded(Array.from({ length: 13 }, (_, line) => line).join("\n"))?.split("\n").length, 12);
  assert.equal(folded("x".repeat(5000))?.length, 1200);
  const pairs = folded(`x${"👋".repeat(2000)}`) ?? "";
  assert.equal(pairs, `x${"👋".repeat(599)}`);
  assert.equal(bytesOf("é👋"), 6);
});
