import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConnectionState } from "../src/protocol/connection";
import { connectionWords, duration, errorDetail, errorSentence, leftOut, smallPrint, waitSentence } from "../src/view/wording";

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
});

test("a shortened result says how much there is", () => {
  assert.equal(leftOut({ bytes: 123_456, href: "/x" }), "Show all (123 KB)");
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

test("durations and the small print", () => {
  assert.deepEqual([12.4, 1310, 42_000, 125_000].map(duration), ["12 ms", "1.3 s", "42 s", "2 min 5 s"]);
  assert.equal(duration(119_900), "2 min 0 s");
  const view = {
    messageId: null, status: "completed", attempt: 1, steps: [], stepsKnown: true, text: "", error: null, cancelledBy: null,
    usage: { model: "m", input_tokens: 1200, output_tokens: 34, requests: 1, cost_usd: 0.00213 }, durationMs: 1310,
  } as const;
  assert.equal(smallPrint(view), "m · 1.3 s · 1,234 tokens · $0.0021");
  assert.equal(smallPrint({ ...view, usage: null, durationMs: null }), "");
});
