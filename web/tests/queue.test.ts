import assert from "node:assert/strict";
import { test } from "node:test";
import { parted } from "../src/chat/queue";
import { EMPTY_HISTORY } from "../src/chat/history";
import type { Sources } from "../src/chat/tree";
import { fold, INITIAL } from "../src/protocol/fold";
import type { RunEvent } from "../src/protocol/frames";
import { command, enqueued, type NewMessage, type Outbox, refused } from "../src/protocol/outbox";
import { event } from "./frames";
import { newestTurns } from "./newest_turns";

const started = event(2, "agent_started", { model: "m", attempt: 1 });

/** The events of runs with these numbers, each after its question. */
function runs(...given: readonly (readonly [number, ...RunEvent[]])[]): Sources["runs"] {
  const events = given.flatMap(([number, ...more]) => {
    const follows = number > 1 ? { parent_id: `q${number - 1}` } : {};
    const first = event(1, "message_created", { message: { id: `q${number}`, role: "user", content: `question ${number}`, ...follows } });
    return [first, ...more].map((each) => ({ ...each, run_id: `r${number}`, run_number: number }) as RunEvent);
  });
  return events.reduce(fold, INITIAL).runs;
}

const message = (id: string, more: Partial<NewMessage> = {}): NewMessage => ({
  messageId: id, conversation: "thread", threadId: "thread", content: `text of ${id}`, agent: null, ...more,
});

function told(live: Sources["runs"], open: readonly string[], outbox: Outbox = []): unknown {
  const turns = newestTurns({ threadId: "thread", conversation: "thread", history: EMPTY_HISTORY, runs: live, outbox });
  const { shown, waiting } = parted(turns, open);
  return [shown.map((turn) => turn.key), waiting.map(({ key, runId }) => [key, runId])];
}

test("what was asked behind the open run waits, in its order", () => {
  const live = runs([1, started], [2], [3]);
  assert.deepEqual(told(live, ["r1", "r2", "r3"]), [["q1"], [["q2", "r2"], ["q3", "r3"]]]);
  assert.deepEqual(told(live, ["r2", "r3"]), [["q1", "q2"], [["q3", "r3"]]]);
  assert.deepEqual(told(live, []), [["q1", "q2", "q3"], []]);
});

test("a message on its way waits with the others; one that was refused, or interrupts, is shown", () => {
  const live = runs([1, started]);
  const outbox = [message("a"), message("b", { whenBusy: "interrupt" }), message("c")].reduce(enqueued, [] as Outbox);
  const now = refused(outbox, "c", { error_code: "TOO_MANY_RUNS", error_message: "" });
  assert.deepEqual(told(live, ["r1"], now), [["q1", "b", "c"], [["a", null]]]);
  assert.deepEqual(told(live, [], now), [["q1", "a", "b", "c"], []]);
});

test("a run that was begun is no waiting one, whatever it waits for", () => {
  const asked = event(3, "approval_required", { tool_call_id: "1", tool: "send", arguments: {}, expires_in: 60 });
  const resolved = event(4, "approval_resolved", { tool_call_id: "1", approved: true, by: "user" });
  const cancelled = event(2, "agent_cancelled", { by: "user" });
  const live = runs([1, started], [2, started, asked, resolved], [3, cancelled], [4]);
  assert.deepEqual(told(live, ["r1", "r2", "r4"]), [["q1", "q2", "q3"], [["q4", "r4"]]]);
});

test("only a message that interrupts says so to the server", () => {
  assert.equal("when_busy" in command(message("a")), false);
  const sent = command(message("a", { whenBusy: "interrupt" }));
  assert.equal(sent.type === "user_message" && sent.when_busy, "interrupt");
});
