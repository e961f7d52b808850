import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConnectionState } from "../src/protocol/connection";
import type { AnswerView } from "../src/chat/turns";
import type { Approval, Step } from "../src/protocol/run";
import {
  activity,
  approvalOutcome,
  approvalWords,
  connectionWords,
  contextWords,
  errorDetail,
  errorSentence,
  leftOut,
  smallPrint,
  timeLeft,
  visible,
  waitSentence,
} from "../src/view/wording";

const state = (given: Partial<ConnectionState>): ConnectionState => ({ phase: "waiting", failures: 0, error: null, code: null, ...given });

test("every error is a sentence, also of a code that the page does not know", () => {
  assert.equal(errorSentence("RATE_LIMITED", "x"), "You are sending messages faster than the server allows.");
  assert.equal(errorSentence("NEW_CODE", "content: must not be empty"), "Content: must not be empty.");
  assert.equal(errorSentence("NEW_CODE", ""), "The server answered NEW_CODE.");
  assert.equal(errorDetail("MODEL_ERROR", "the provider answered 529"), "The provider answered 529.");
  assert.equal(errorDetail("WORKER_LOST", "the run was interrupted after send had begun"), "The run was interrupted after send had begun.");
  assert.equal(errorDetail("RATE_LIMITED", "x"), null);
  assert.equal(waitSentence(0.4), "Try again in 1 second.");
  assert.equal(waitSentence(2.5), "Try again in 3 seconds.");
  assert.equal(waitSentence(300), "Try again in 5 minutes.");
  assert.equal(waitSentence(18_000), "Try again in 5 hours.");
});

test("a shortened result says how much there is", () => {
  assert.equal(leftOut({ bytes: 123_456, href: "/x" }), "Show all (123 kB)");
  assert.equal(leftOut({ bytes: 5_000_000, kept_bytes: 1_048_576, href: "/x" }), "Show the first 1.0 MB of 5.0 MB");
});

test("the connection's words: quiet at first, plain when it lasts", () => {
  assert.equal(connectionWords(state({ phase: "connected" }), false).state, "connected");
  assert.equal(connectionWords(state({ phase: "greeting" }), true).state, "connecting");
  assert.deepEqual(connectionWords(state({ failures: 1 }), true), { state: "connecting", text: "Reconnecting…" });
  assert.equal(connectionWords(state({ failures: 2 }), true).state, "offline");
  assert.equal(connectionWords(state({}), false).text, "You are offline.");
  const refused = { type: "error_message", error_code: "USER_INACTIVE", error_message: "" } as const;
  assert.deepEqual(connectionWords(state({ phase: "stopped", error: refused }), true), {
    state: "offline",
    text: "This account has been deactivated.",
  });
});

const view = (given: Partial<AnswerView> = {}): AnswerView => ({
  messageId: null, agent: "triage", model: "m", status: "completed", attempt: 1, steps: [], stepsKnown: true, approvals: {}, text: "",
  error: null, cancelledBy: null, usage: null, durationMs: null, ...given,
});

test("the small print", () => {
  const usage = { model: "m", input_tokens: 1200, output_tokens: 34, requests: 1, cost_usd: 0.00213 };
  const cost = (cost_usd: number | null): string => smallPrint(view({ usage: { ...usage, cost_usd }, durationMs: 1310 }));
  assert.equal(cost(0.00213), "m · 1.3s · 1,234 tokens · $0.0021");
  assert.equal(cost(0.0000001), "m · 1.3s · 1,234 tokens · < $0.0001");
  assert.equal(cost(12.345), "m · 1.3s · 1,234 tokens · $12.35");
  assert.equal(cost(0), "m · 1.3s · 1,234 tokens");
  assert.equal(cost(null), "m · 1.3s · 1,234 tokens");
  assert.equal(smallPrint(view({ model: null })), "");
  assert.match(smallPrint(view({ model: "local" })), /^local: SmolLM2-135M, small and often wrong/);
  assert.match(smallPrint(view({ model: "offline" })), /^offline: fixed rules, no language model/);
});

test("a context that was cut says what is missing", () => {
  const step = (dropped_messages: number, shortened_results: number) =>
    ({ kind: "context", agent: "a", limit_tokens: 1, estimated_tokens: 1, kept_messages: 1, dropped_messages, shortened_results }) as const;
  assert.equal(contextWords(step(541, 0)), "To fit the model's context, 541 earlier messages were left out");
  assert.equal(contextWords(step(1, 2)), "To fit the model's context, 1 earlier message was left out and 2 tool results were shortened");
  assert.equal(contextWords(step(0, 1)), "To fit the model's context, 1 tool result was shortened");
});

const asked: Approval = { agent: "data", tool: "fetch", arguments: {}, expires_in: 60, asked_at: "", approved: null, by: null };

test("a request for approval says what became of it", () => {
  assert.equal(approvalOutcome(asked, false), null);
  assert.equal(approvalOutcome(asked, true), "cancelled");
  assert.equal(approvalOutcome({ ...asked, approved: true, by: "user" }, true), "approved");
  assert.equal(approvalOutcome({ ...asked, approved: false, by: "user" }, false), "denied");
  assert.equal(approvalOutcome({ ...asked, approved: false, by: "expired" }, true), "not answered in time");
  assert.equal(approvalOutcome({ ...asked, approved: false, by: "cancelled" }, true), "cancelled");
});

test("what waits for an approval is said with its name", () => {
  const approvals = { one: asked, two: { ...asked, approved: true, by: "user" as const } };
  assert.equal(approvalWords(view({ status: "awaiting_approval", approvals })), "data wants to use Fetch and waits for your approval");
  assert.equal(approvalWords(view({ status: "running", approvals })), null);
});

test("the time left to answer is told in the unit that matters", () => {
  assert.deepEqual(
    [0, -5, 900, 59_000, 61_000, 571_000, 600_000, 119 * 60_000, 86_399_000].map(timeLeft),
    ["The time is up", "The time is up", "1 second left", "59 seconds left", "1:01 left", "9:31 left", "10 minutes left", "119 minutes left", "24 hours left"],
  );
});

test("what cannot be seen, or turns text around, is shown by its number; lines and letters stay", () => {
  assert.equal(visible("a\u202Egpj.exe"), "a⟨U+202E⟩gpj.exe");
  assert.equal(visible("https://example.org\u200b/\u0000\u001b[2J"), "https://example.org⟨U+200B⟩/⟨U+0000⟩⟨U+001B⟩[2J");
  assert.equal(visible("\u2028\u2066\u00ad\ufeff\u3164\u{e0041}"), "⟨U+2028⟩⟨U+2066⟩⟨U+00AD⟩⟨U+FEFF⟩⟨U+3164⟩⟨U+E0041⟩");
  assert.equal(visible("zwei\n\tZeilen: Grüße, 東京 👋 <b>&amp;"), "zwei\n\tZeilen: Grüße, 東京 👋 <b>&amp;");
});

test("an answer says whom it asks, and what that one uses", () => {
  const tool = (tool_call_id: string, name: string, agent: string): Step => ({ kind: "tool", agent, tool_call_id, tool: name, arguments: {}, began_at: "", status: "running" });
  const asking: Step = { kind: "subagent", agent: "triage", subagent: "data", parent_tool_call_id: "1", began_at: "", status: "running" };
  const words = (...steps: Step[]): string | null => activity(view({ status: "running", steps }), false);
  assert.equal(words(tool("1", "ask_data", "triage"), asking), "Asking data…");
  assert.equal(words(tool("1", "ask_data", "triage"), asking, tool("2", "usage_summary", "data")), "Using Usage summary…");
  const again: Step = { ...asking, parent_tool_call_id: "3" };
  assert.equal(words(tool("1", "ask_data", "triage"), asking, tool("3", "ask_data", "triage"), again), "Asking data…");
  assert.equal(words(), "Thinking…");
});
