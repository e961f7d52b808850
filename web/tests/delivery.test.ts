// The live half of the page against a server of the test's own.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Delivery } from "../src/chat/delivery";
import type { Command, ErrorMessage, Frame, MessageAccepted, ThreadNotice } from "../src/protocol/frames";
import type { Stale } from "../src/protocol/fold";
import { FakeClock, settle } from "./fake_clock";
import { FakeServer } from "./fake_server";
import { event } from "./frames";

interface World {
  readonly clock: FakeClock;
  readonly server: FakeServer;
  readonly delivery: Delivery;
  readonly notices: ThreadNotice[];
  readonly failures: ErrorMessage[];
  readonly stale: Stale[];
}

async function started(): Promise<World> {
  const clock = new FakeClock();
  const server = new FakeServer();
  const notices: ThreadNotice[] = [];
  const failures: ErrorMessage[] = [];
  const stale: Stale[] = [];
  const delivery = new Delivery({
    clock,
    random: () => 0,
    token: async () => "token",
    dial: server.dial,
    nextFrame: (act) => void clock.after(16, act),
    events: {
      established: () => {},
      noticed: (notice) => notices.push(notice),
      accepted: () => {},
      refused: () => {},
      failed: (error) => failures.push(error),
      stale: (what) => stale.push(what),
      outboxChanged: () => {},
    },
  });
  delivery.start([]);
  await settle();
  return { clock, server, delivery, notices, failures, stale };
}

const say = (messageId: string, threadId: string | null = "thread") => ({
  messageId,
  conversation: threadId ?? "new:1",
  threadId,
  content: `text of ${messageId}`,
  agent: null,
});

const accept = (messageId: string, runNumber = 1): MessageAccepted => ({
  type: "message_accepted",
  ref: messageId,
  message_id: messageId,
  thread_id: "thread",
  run_id: "run",
  run_number: runNumber,
});

const created = (messageId: string): Frame => event(1, "message_created", { message: { id: messageId, role: "user", content: "?" } });
const ofType = (commands: readonly Command[], type: string): readonly Command[] => commands.filter((command) => command.type === type);

async function reconnected({ clock, server }: World, code = 4408): Promise<void> {
  const dials = server.sockets.length;
  server.latest.drop(code);
  while (server.sockets.length === dials) await clock.pass(100);
}

test("a message sent before the connection is there goes out with the greeting", async () => {
  const { server, delivery } = await started();
  delivery.enqueue(say("a"));
  assert.deepEqual(server.latest.sent, []);
  server.greet();
  assert.equal(ofType(server.latest.sent, "user_message").length, 1);
});

test("a message whose acceptance was lost is sent again after the resume, and shown once", async () => {
  const world = await started();
  const { clock, server, delivery } = world;
  server.greet();
  delivery.enqueue(say("a"));
  server.latest.deliver(created("a"));
  await reconnected(world);
  server.greet({ last_run_number: 1 });
  assert.deepEqual(server.latest.sent.map((command) => command.type), ["resume", "user_message"]);
  assert.deepEqual(server.latest.sent[0], { type: "resume", cursors: { run: 1 }, after_run: 1 });
  server.latest.deliver(accept("a"));
  await clock.pass(16);
  assert.deepEqual(delivery.outbox.value, []);
});

test("the next message of a conversation waits for the acceptance, and learns the thread from it", async () => {
  const { server, delivery } = await started();
  server.greet();
  delivery.enqueue(say("a", null));
  delivery.enqueue(say("b", null));
  assert.equal(ofType(server.latest.sent, "user_message").length, 1);
  server.latest.deliver(accept("a"));
  const [, second] = ofType(server.latest.sent, "user_message");
  assert.equal(second?.type === "user_message" && second.thread_id, "thread");
});

test("what is nearly used up is known until an acceptance says nothing of it, and what is used up from its refusal", async () => {
  const { server, delivery } = await started();
  server.greet();
  const use = { limit: "runs_per_day", used: 4, allowed: 5, resets_in: 60 };
  delivery.enqueue(say("a"));
  server.latest.deliver({ ...accept("a"), allowance: [use] });
  assert.deepEqual(delivery.allowance.value, [use]);
  delivery.enqueue(say("b"));
  server.latest.deliver(accept("b", 2));
  assert.deepEqual(delivery.allowance.value, []);
  delivery.enqueue(say("c"));
  server.latest.deliver({ type: "error_message", ref: "c", error_code: "ALLOWANCE_USED", error_message: "", details: { ...use, used: 5 } });
  assert.deepEqual(delivery.allowance.value, [{ ...use, used: 5 }]);
});

test("a refusal belongs to its message, which can be tried again", async () => {
  const { server, delivery, failures } = await started();
  server.greet();
  delivery.enqueue(say("a"));
  server.latest.deliver({ type: "error_message", error_code: "RATE_LIMITED", error_message: "slow", ref: "a", retry_after: 3 });
  assert.equal(delivery.outbox.value[0]?.refusal?.retry_after, 3);
  assert.deepEqual(failures, []);
  delivery.retry("a", "fresh");
  assert.equal(ofType(server.latest.sent, "user_message").length, 2);
});

test("an error of no message is told to the page", async () => {
  const { server, failures } = await started();
  server.greet();
  server.latest.deliver({ type: "error_message", error_code: "INTERNAL_ERROR", error_message: "oops" });
  assert.equal(failures.length, 1);
});

test("a message over the server's limit is refused here, and one that broke the connection is not sent again", async () => {
  const world = await started();
  const { server, delivery } = world;
  server.greet({ limits: { max_message_bytes: 200 } });
  delivery.enqueue({ ...say("long"), content: "ä".repeat(200) });
  assert.equal(delivery.outbox.value[0]?.refusal?.error_code, "MESSAGE_TOO_LARGE");
  assert.deepEqual(ofType(server.latest.sent, "user_message"), []);
  delivery.enqueue(say("broke", "t2"));
  await reconnected(world, 1009);
  server.greet();
  assert.equal(delivery.outbox.value[1]?.refusal?.error_code, "MESSAGE_TOO_LARGE");
  assert.deepEqual(ofType(server.latest.sent, "user_message"), []);
});

test("a stop is asked for again after a reconnect, until the run has ended", async () => {
  const world = await started();
  const { server, delivery } = world;
  server.greet();
  server.latest.deliver(created("a"));
  delivery.stopRun("run");
  await reconnected(world);
  delivery.stopRun("run");
  server.greet({ last_run_number: 1 });
  assert.equal(ofType(server.latest.sent, "stop_run").length, 1);
  server.latest.deliver(event(2, "agent_cancelled", { by: "user" }));
  assert.equal(delivery.stopping.value.size, 0);
});

test("a gap in the log makes a new connection that resumes", async () => {
  const { clock, server, delivery } = await started();
  server.greet();
  server.latest.deliver(created("a"), event(3, "agent_response_chunk", { message_id: "m", text: "x" }));
  assert.equal(server.sockets[0]?.closedByPage, true);
  await clock.pass(1000);
  server.greet({ last_run_number: 1 });
  assert.deepEqual(server.latest.sent[0], { type: "resume", cursors: { run: 1 }, after_run: 1 });
  assert.equal(delivery.current.runs["run"]?.last_seq, 1);
});

test("runs that REST named are asked for once, with the position that the page has", async () => {
  const { server, delivery } = await started();
  server.greet({ last_run_number: 5 });
  const open = { run_id: "open", run_number: 4, thread_id: "thread", status: "running" } as const;
  const ended = { run_id: "ended", run_number: 3, thread_id: "thread", status: "completed" } as const;
  const younger = { run_id: "younger", run_number: 6, thread_id: "thread", status: "running" } as const;
  delivery.follow([open, ended, younger]);
  delivery.follow([open, ended, younger]);
  assert.deepEqual(server.latest.sent, [{ type: "resume", cursors: { open: 0, ended: 0 } }]);
});

test("the steps of ended runs are asked for again after a reconnect that came before them", async () => {
  const world = await started();
  const { server, delivery } = world;
  server.greet({ last_run_number: 5 });
  delivery.follow([{ run_id: "ended", run_number: 3, thread_id: "thread", status: "completed" }]);
  await reconnected(world);
  server.greet({ last_run_number: 5 });
  assert.deepEqual(ofType(server.latest.sent, "resume"), [
    { type: "resume", cursors: {}, after_run: 5 },
    { type: "resume", cursors: { ended: 0 } },
  ]);
});

test("pruned steps are not asked for again", async () => {
  const { server, delivery, stale } = await started();
  server.greet({ last_run_number: 5 });
  const ended = { run_id: "ended", run_number: 3, thread_id: "thread", status: "completed" } as const;
  delivery.follow([ended]);
  server.latest.deliver({ type: "resumed", runs: {}, snapshot_required: ["ended"], gone: [] });
  assert.deepEqual(stale.at(-1)?.threads, ["thread"]);
  delivery.follow([ended]);
  assert.equal(ofType(server.latest.sent, "resume").length, 1);
  assert.ok(delivery.unavailable.value.has("ended"));
});

test("an open run of a server that lost its latest events is read once more from its beginning", async () => {
  const { server, delivery } = await started();
  server.greet({ last_run_number: 5 });
  const open = { run_id: "run", run_number: 5, thread_id: "thread", status: "running" } as const;
  delivery.follow([open]);
  server.latest.deliver(created("a"), { type: "snapshot_required", run_ids: ["run"] });
  delivery.follow([open]);
  assert.deepEqual(server.latest.sent.at(-1), { type: "resume", cursors: { run: 0 } });
  server.latest.deliver({ type: "snapshot_required", run_ids: ["run"] });
  const asked = server.latest.sent.length;
  delivery.follow([open]);
  assert.equal(server.latest.sent.length, asked);
});

test("an old notice does not undo what a newer list shows", async () => {
  const { server, notices } = await started();
  const thread = { id: "t", title: "old", created_at: "", updated_at: "" };
  server.greet({ threads_version: 7 });
  server.latest.deliver({ type: "thread_updated", thread, threads_version: 6 });
  assert.deepEqual(notices, []);
  server.latest.deliver({ type: "thread_updated", thread, threads_version: 8 });
  assert.equal(notices.length, 1);
});

test("many frames are drawn once", async () => {
  const { clock, server, delivery } = await started();
  server.greet();
  await clock.pass(16);
  let drawn = 0;
  delivery.state.subscribe(() => (drawn += 1));
  server.latest.deliver(created("a"));
  for (let seq = 2; seq < 50; seq += 1) server.latest.deliver(event(seq, "agent_response_chunk", { message_id: "m", text: "x" }));
  await clock.pass(16);
  assert.equal(drawn, 2);
  assert.equal(delivery.state.value.runs["run"]?.text.length, 48);
});
