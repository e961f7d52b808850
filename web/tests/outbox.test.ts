import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { test } from "node:test";
import type { MessageAccepted } from "../src/protocol/frames";
import { newMessageId } from "../src/protocol/identifier";
import * as outbox from "../src/protocol/outbox";

const message = (messageId: string, conversation = "t1", threadId: string | null = conversation) => ({
  messageId,
  conversation,
  threadId,
  content: `text of ${messageId}`,
  agent: null as string | null,
});

const acceptance = (messageId: string, threadId = "t1"): MessageAccepted => ({
  type: "message_accepted",
  message_id: messageId,
  thread_id: threadId,
  run_id: `run of ${messageId}`,
  run_number: 1,
});

const filled = (...messages: ReturnType<typeof message>[]): outbox.Outbox => messages.reduce(outbox.enqueued, [] as outbox.Outbox);
const dueIds = (box: outbox.Outbox): string[] => outbox.due(box).map((each) => each.messageId);

test("one message at a time per conversation, each after the acceptance of the one before", () => {
  let box = filled(message("a"), message("b"), message("c", "t2"));
  assert.deepEqual(dueIds(box), ["a", "c"]);
  box = outbox.sent(outbox.sent(box, "a"), "c");
  assert.deepEqual(dueIds(box), []);
  box = outbox.accepted(box, acceptance("a"));
  assert.deepEqual(dueIds(box), ["b"]);
});

test("what was sent and not answered is sent again after a reconnect, under the same id and in the same order", () => {
  let box = outbox.sent(filled(message("a"), message("b")), "a");
  box = outbox.disconnected(box);
  assert.deepEqual(dueIds(box), ["a"]);
  assert.deepEqual(outbox.command(outbox.due(box)[0]!), {
    type: "user_message",
    ref: "a",
    message_id: "a",
    content: "text of a",
    thread_id: "t1",
  });
});

test("a message names the agent that is asked, when one was chosen", () => {
  const [chosen, left] = filled({ ...message("a"), agent: "data" }, message("b"));
  assert.deepEqual([chosen, left].map((each) => (outbox.command(each!) as { agent?: string }).agent), ["data", undefined]);
  assert.equal("agent" in outbox.command(left!), false);
});

test("the messages of a new conversation go to the thread that the first one made", () => {
  let box = filled(message("a", "new:1", null), message("b", "new:1", null), message("c", "new:2", null));
  assert.equal("thread_id" in outbox.command(box[0]!), false);
  box = outbox.accepted(outbox.sent(box, "a"), acceptance("a", "made"));
  assert.deepEqual(box.map((each) => each.threadId), ["made", "made", null]);
});

test("a refused message stays, blocks nothing, and is tried again in its place under its id", () => {
  let box = outbox.sent(filled(message("a"), message("b")), "a");
  box = outbox.refused(box, "a", { error_code: "RATE_LIMITED", error_message: "slow down", retry_after: 2.5 });
  assert.deepEqual(dueIds(box), ["b"]);
  box = outbox.retried(box, "a", "fresh");
  assert.deepEqual(dueIds(box), ["a"]);
  assert.equal(box[0]?.refusal, null);
});

test("an id that the server knows with other content is replaced when the message is tried again", () => {
  let box = outbox.refused(filled(message("a")), "a", { error_code: "MESSAGE_ID_CONFLICT", error_message: "" });
  box = outbox.retried(box, "a", "fresh");
  assert.deepEqual(dueIds(box), ["fresh"]);
});

test("only what was refused is tried again, and an acceptance of something else changes nothing", () => {
  const box = outbox.sent(filled(message("a")), "a");
  assert.equal(outbox.retried(box, "a", "fresh"), box);
  assert.equal(outbox.accepted(box, acceptance("other")), box);
});

test("accepted messages leave once the conversation shows them", () => {
  const box = outbox.accepted(filled(message("a"), message("b")), acceptance("a"));
  assert.equal(outbox.settled(box, () => false), box);
  assert.deepEqual(outbox.settled(box, () => true).map((each) => each.messageId), ["b"]);
});

test("survives a reload of the page, except for what the server has", () => {
  let box = filled(message("a"), message("b"), message("c", "t2"), message("d", "t3"));
  box = outbox.accepted(outbox.sent(box, "a"), acceptance("a"));
  box = outbox.sent(box, "b");
  box = outbox.refused(box, "c", { error_code: "TOO_MANY_RUNS", error_message: "" });
  const restored = outbox.restored(outbox.stored(box));
  assert.deepEqual(restored.map(({ messageId, state }) => [messageId, state]), [["b", "waiting"], ["c", "refused"], ["d", "waiting"]]);
  for (const text of [null, "", "{", "{}", "3"]) assert.deepEqual(outbox.restored(text), []);
});

test("message ids are random UUIDs, also without a secure context", () => {
  // Node 18 has no global of this name.
  globalThis.crypto ??= webcrypto as Crypto;
  const ids = new Set(Array.from({ length: 200 }, newMessageId));
  assert.equal(ids.size, 200);
  for (const id of ids) assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});
