// Answers to requests for approval, against a server of the test's own.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Decision } from "../src/chat/decisions";
import { Delivery } from "../src/chat/delivery";
import type { Command, ErrorMessage } from "../src/protocol/frames";
import { FakeClock, settle } from "./fake_clock";
import { FakeServer } from "./fake_server";
import { event } from "./frames";

interface World {
  readonly clock: FakeClock;
  readonly server: FakeServer;
  readonly delivery: Delivery;
  readonly failures: ErrorMessage[];
}

const ASKED = { tool_call_id: "call", tool: "fetch", arguments: { url: "x" }, expires_in: 600 };

async function asked(): Promise<World> {
  const clock = new FakeClock();
  const server = new FakeServer();
  const failures: ErrorMessage[] = [];
  const delivery = new Delivery({
    clock,
    random: () => 0,
    token: async () => "token",
    dial: server.dial,
    nextFrame: (act) => void clock.after(16, act),
    events: {
      established: () => {},
      noticed: () => {},
      accepted: () => {},
      refused: () => {},
      failed: (error) => failures.push(error),
      stale: () => {},
      outboxChanged: () => {},
    },
  });
  delivery.start([]);
  await settle();
  server.greet();
  server.latest.deliver(event(1, "message_created", { message: { id: "q", role: "user", content: "?" } }), event(2, "approval_required", ASKED));
  return { clock, server, delivery, failures };
}

async function reconnected({ clock, server }: World): Promise<void> {
  const dials = server.sockets.length;
  server.latest.drop(1006);
  while (server.sockets.length === dials) await clock.pass(100);
}

const answersIn = (commands: readonly Command[]) => commands.filter((command) => command.type === "resolve_approval");
const stateOf = (world: World): Decision["state"] | null => world.delivery.decisions.of("run", "call")?.state ?? null;
const refusal = (given: Partial<ErrorMessage>): ErrorMessage => ({ type: "error_message", error_code: "APPROVAL_NOT_FOUND", error_message: "no", ...given });

test("an answer is sent once, and stands until the log tells it", async () => {
  const world = await asked();
  const { server, delivery } = world;
  delivery.decisions.decide("run", "call", true);
  delivery.decisions.decide("run", "call", false);
  const [sent, ...more] = answersIn(server.latest.sent);
  assert.deepEqual(sent, { type: "resolve_approval", ref: sent?.ref, run_id: "run", tool_call_id: "call", approved: true });
  assert.deepEqual(more, []);
  server.latest.deliver({ type: "approval_accepted", ref: sent?.ref ?? "", run_id: "run", tool_call_id: "call" });
  assert.equal(stateOf(world), "answered");
  server.latest.deliver(event(3, "approval_resolved", { tool_call_id: "call", approved: true, by: "user" }));
  assert.equal(stateOf(world), null);
});

test("a denial takes its reason along", async () => {
  const { server, delivery } = await asked();
  delivery.decisions.decide("run", "call", false, "not that page");
  const [sent] = answersIn(server.latest.sent);
  assert.deepEqual(sent, { type: "resolve_approval", ref: sent?.ref, run_id: "run", tool_call_id: "call", approved: false, reason: "not that page" });
});

test("an answer that is refused can be given again, and its error is shown there only", async () => {
  const world = await asked();
  const { server, delivery, failures } = world;
  delivery.decisions.decide("run", "call", true);
  const [first] = answersIn(server.latest.sent);
  server.latest.deliver(refusal({ error_code: "SERVICE_UNAVAILABLE", ref: first?.ref ?? "" }));
  assert.equal(stateOf(world), "refused");
  assert.equal(delivery.decisions.of("run", "call")?.refusal?.error_code, "SERVICE_UNAVAILABLE");
  assert.deepEqual(failures, []);
  delivery.decisions.decide("run", "call", false);
  assert.equal(answersIn(server.latest.sent).length, 2);
  server.latest.deliver(refusal({ error_code: "SERVICE_UNAVAILABLE", ref: first?.ref ?? "" }));
  assert.equal(stateOf(world), "sending", "an error of the answer before says nothing of this one");
});

test("when somebody else was first the event tells, not an error", async () => {
  const world = await asked();
  const { server, delivery, failures } = world;
  delivery.decisions.decide("run", "call", true);
  const ref = answersIn(server.latest.sent)[0]?.ref ?? "";
  server.latest.deliver(refusal({ ref, details: { approved: false, by: "user" } }));
  assert.equal(stateOf(world), "answered");
  server.latest.deliver(event(3, "approval_resolved", { tool_call_id: "call", approved: false, by: "user" }));
  assert.equal(stateOf(world), null);
  assert.equal(delivery.current.runs["run"]?.approvals["call"]?.approved, false);
  assert.deepEqual(failures, []);
});

test("a request that is not known any more is an error", async () => {
  const world = await asked();
  world.delivery.decisions.decide("run", "call", true);
  world.server.latest.deliver(refusal({ ref: answersIn(world.server.latest.sent)[0]?.ref ?? "" }));
  assert.equal(stateOf(world), "refused");
});

test("an answer without a reply is given again after a reconnect, one with a reply is not", async () => {
  const world = await asked();
  const { server, delivery } = world;
  delivery.decisions.decide("run", "call", true);
  const [lost] = answersIn(server.latest.sent);
  await reconnected(world);
  assert.equal(stateOf(world), "sending");
  server.greet({ last_run_number: 1 });
  assert.deepEqual(answersIn(server.latest.sent), [lost]);
  server.latest.deliver({ type: "approval_accepted", ref: lost?.ref ?? "", run_id: "run", tool_call_id: "call" });
  await reconnected(world);
  server.greet({ last_run_number: 1 });
  assert.deepEqual(answersIn(server.latest.sent), []);
});

test("an answer given while there is no connection goes out with the next greeting", async () => {
  const world = await asked();
  world.server.latest.drop(1006);
  world.delivery.decisions.decide("run", "call", true);
  while (world.server.sockets.length === 1) await world.clock.pass(100);
  world.server.greet({ last_run_number: 1 });
  assert.equal(answersIn(world.server.latest.sent).length, 1);
});

test("a run that ends takes its answers along", async () => {
  const world = await asked();
  world.delivery.decisions.decide("run", "call", true);
  world.server.latest.deliver(event(3, "agent_cancelled", { by: "user" }));
  assert.equal(stateOf(world), null);
});

test("the time left counts by the server's clock", async () => {
  const world = await asked();
  await reconnected(world);
  world.server.greet({ server_time: "2026-11-23T19:00:10.000Z", last_run_number: 1 });
  await world.clock.pass(5000);
  assert.equal(world.delivery.serverNow(), Date.parse("2026-11-23T19:00:15.000Z"));
});
