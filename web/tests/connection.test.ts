import assert from "node:assert/strict";
import { test } from "node:test";
import { Connection, type ConnectionState } from "../src/protocol/connection";
import { type Frame, isRunEvent } from "../src/protocol/frames";
import { afterClose, backoff } from "../src/protocol/reconnecting";
import { FakeClock, settle } from "./fake_clock";
import { FakeServer } from "./fake_server";
import { established, event } from "./frames";

interface World {
  readonly clock: FakeClock;
  readonly server: FakeServer;
  readonly connection: Connection;
  readonly frames: Frame[];
  readonly states: ConnectionState[];
  readonly asked: boolean[];
  /** What the next request for a token gives. */
  token: () => Promise<string | null>;
}

async function started(): Promise<World> {
  const clock = new FakeClock();
  const server = new FakeServer();
  const frames: Frame[] = [];
  const states: ConnectionState[] = [];
  const asked: boolean[] = [];
  const seen = new Map<string, number>();
  let tokens = 0;
  const world = { clock, server, frames, states, asked, token: async (): Promise<string | null> => `token-${++tokens}` };
  const connection = new Connection({
    clock,
    random: () => 1,
    token: (renew) => {
      asked.push(renew);
      return world.token();
    },
    dial: server.dial,
    frame: (frame) => {
      frames.push(frame);
      if (!isRunEvent(frame)) return null;
      seen.set(frame.run_id, frame.seq);
      return frame.run_id;
    },
    position: (run) => seen.get(run),
    state: (state) => states.push(state),
  });
  connection.start();
  await settle();
  return Object.assign(world, { connection });
}

const chunk = (seq: number) => event(seq, "agent_response_chunk", { message_id: "m", text: "x" });

test("dials with a token and is connected only when greeted", async () => {
  const { server, connection } = await started();
  assert.equal(server.latest.token, "token-1");
  assert.equal(connection.state.phase, "greeting");
  assert.equal(connection.send({ type: "ping" }), false);
  server.greet();
  assert.equal(connection.state.phase, "connected");
  assert.equal(connection.send({ type: "ping" }), true);
});

test("a server that accepts and never greets is left after ten seconds", async () => {
  const { clock, server, connection } = await started();
  await clock.pass(10_000);
  assert.equal(connection.state.phase, "waiting");
  assert.equal(server.latest.closedByPage, true);
});

test("the waits between attempts grow, with jitter, up to half a minute", async () => {
  const { clock, server, connection } = await started();
  const waits: number[] = [];
  for (let attempt = 0; attempt < 13; attempt += 1) {
    server.latest.drop(1006);
    const before = clock.now();
    const dials = server.sockets.length;
    while (server.sockets.length === dials) await clock.pass(100);
    waits.push(clock.now() - before);
  }
  assert.deepEqual(waits, [500, 800, 1200, 1700, 2600, 3800, 5700, 8600, 12900, 19300, 28900, 30000, 30000]);
  server.greet();
  assert.equal(connection.state.failures, 0);
  assert.deepEqual([backoff(2, () => 0), backoff(2, () => 1)], [562.5, 1125]);
});

test("each close code has the answer of the protocol's table", () => {
  const half = () => 0.5;
  const closing = { failures: 0, error: null, drainMs: null };
  const after = (code: number, more = {}) => afterClose({ ...closing, code, ...more }, half);
  for (const code of [1000, 1001, 1006, 1009, 1011, 4503]) assert.equal(after(code).act, "retry", String(code));
  assert.deepEqual(after(4401), { act: "renew", delay: 0 });
  assert.equal(after(4401, { failures: 3 }).act, "renew");
  assert.deepEqual(after(4403), { act: "stop" });
  assert.deepEqual(after(4408, { failures: 5 }), { act: "retry", delay: 375 });
  assert.deepEqual(after(4412, { drainMs: 4000 }), { act: "retry", delay: 2000 });
  const flood = after(4429, { error: { type: "error_message", error_code: "RATE_LIMITED", error_message: "", retry_after: 60 } });
  assert.deepEqual(flood, { act: "retry", delay: 60_000 });
  const many = after(4429);
  assert.ok(many.act === "retry" && many.delay >= 5000);
});

test("4401 gets a new token and dials again; without one the connection rests", async () => {
  const world = await started();
  const { clock, server, connection, asked } = world;
  server.greet();
  server.latest.drop(4401);
  await clock.pass(0);
  assert.deepEqual(asked, [false, true]);
  assert.equal(server.latest.token, "token-2");
  world.token = async () => null;
  server.latest.drop(4401);
  await clock.pass(0);
  assert.equal(connection.state.phase, "idle");
  assert.equal(clock.waiting, 0);
});

test("tokens that are refused again and again are not asked for in a loop", async () => {
  const { clock, server } = await started();
  for (let attempt = 0; attempt < 200; attempt += 1) {
    server.latest.drop(4401);
    await clock.pass(50);
  }
  assert.ok(server.sockets.length < 10, `${server.sockets.length} dials in ten seconds`);
});

test("a token that cannot be had for the moment is asked for again", async () => {
  const world = await started();
  world.server.latest.drop(1006);
  world.token = () => Promise.reject(new Error("unreachable"));
  await world.clock.pass(2000);
  assert.equal(world.connection.state.phase, "waiting");
  world.token = async () => "at last";
  await world.clock.pass(30_000);
  assert.equal(world.server.latest.token, "at last");
});

test("4403 stops, with the server's reason, until somebody asks again", async () => {
  const { clock, server, connection } = await started();
  server.latest.deliver({ type: "error_message", error_code: "USER_INACTIVE", error_message: "no" });
  server.latest.drop(4403);
  await clock.pass(3_600_000);
  assert.equal(server.sockets.length, 1);
  assert.equal(connection.state.phase, "stopped");
  assert.equal(connection.state.error?.error_code, "USER_INACTIVE");
  connection.start();
  await settle();
  assert.equal(server.sockets.length, 2);
});

test("a drain is followed by a return within the time that the server named", async () => {
  const { clock, server } = await started();
  server.greet();
  server.latest.deliver({ type: "server_draining", reconnect_after_ms: 3000 });
  server.latest.drop(4412);
  await clock.pass(2999);
  assert.equal(server.sockets.length, 1);
  await clock.pass(1);
  assert.equal(server.sockets.length, 2);
});

test("pings at the server's interval, and an answer keeps the connection", async () => {
  const { clock, server, connection } = await started();
  server.greet({ heartbeat: { interval_seconds: 20 } });
  for (let beat = 1; beat <= 5; beat += 1) {
    await clock.pass(20_000);
    assert.equal(server.latest.ofType("ping").length, beat);
    server.latest.deliver({ type: "pong", threads_version: 0 });
  }
  assert.equal(connection.state.phase, "connected");
});

test("a half-open socket is given up ten seconds after a ping that nothing answers", async () => {
  const { clock, server, connection } = await started();
  server.greet({ heartbeat: { interval_seconds: 25 } });
  await clock.pass(34_999);
  assert.equal(connection.state.phase, "connected");
  await clock.pass(1);
  assert.equal(connection.state.phase, "waiting");
  assert.equal(server.latest.closedByPage, true);
});

test("a tab that slept does not take its late timers for a lost connection", async () => {
  const { clock, server, connection } = await started();
  server.greet();
  clock.sleep(3_600_000);
  await clock.pass(0);
  assert.equal(server.latest.ofType("ping").length, 1);
  server.latest.deliver({ type: "pong", threads_version: 0 });
  await clock.pass(9_999);
  assert.equal(connection.state.phase, "connected");
});

test("on waking the open socket is asked whether it lives, and a wait is cut short", async () => {
  const { clock, server, connection } = await started();
  server.greet();
  connection.check();
  assert.equal(server.latest.ofType("ping").length, 1);
  await clock.pass(3_000);
  connection.check();
  await clock.pass(1_000);
  assert.equal(connection.state.phase, "waiting", "the second look does not give the first ping more time");
  connection.check();
  await settle();
  assert.equal(server.sockets.length, 2);
  server.greet();
  assert.equal(connection.state.phase, "connected");
});

test("on waking a dial that has hung for seconds is begun anew, a young one is left alone", async () => {
  const { clock, server, connection } = await started();
  await clock.pass(3_000);
  connection.check();
  assert.equal(server.sockets.length, 1);
  await clock.pass(1_001);
  connection.check();
  await settle();
  assert.equal(server.sockets.length, 2);
  assert.equal(server.sockets[0]?.closedByPage, true);
});

test("a server that greets and hangs up at once is not dialled in a tight loop", async () => {
  const { clock, server, connection } = await started();
  const began = clock.now();
  for (let times = 0; times < 6; times += 1) {
    server.greet();
    server.latest.drop(1006);
    while (connection.state.phase !== "greeting") await clock.pass(100);
  }
  assert.ok(clock.now() - began > 10_000, `${clock.now() - began} ms for six dials`);
  server.greet();
  await clock.pass(5_000);
  server.latest.drop(1006);
  assert.equal(connection.state.failures, 1, "one that has lasted is a success");
});

test("what a socket reports after it was given up is not heard", async () => {
  const { clock, server, connection, frames } = await started();
  server.greet();
  const [old] = server.sockets;
  connection.reset();
  await clock.pass(1000);
  server.greet();
  const heard = frames.length;
  old?.deliver(chunk(1));
  old?.drop(4403);
  assert.equal(frames.length, heard);
  assert.equal(connection.state.phase, "connected");
});

test("acknowledges a second after the first frame, with the greeting counted", async () => {
  const { clock, server } = await started();
  server.greet();
  server.latest.deliver(chunk(1), chunk(2));
  await clock.pass(999);
  assert.deepEqual(server.latest.ofType("ack"), []);
  await clock.pass(1);
  assert.deepEqual(server.latest.ofType("ack"), [{ type: "ack", cursors: { run: 2 }, received: 3 }]);
  await clock.pass(20_000);
  assert.equal(server.latest.ofType("ack").length, 1);
});

test("acknowledges at once after 64 frames, and by the time of a frame when timers sleep", async () => {
  const { clock, server } = await started();
  server.greet();
  for (let seq = 1; seq <= 63; seq += 1) server.latest.deliver(chunk(seq));
  assert.deepEqual(server.latest.ofType("ack"), [{ type: "ack", cursors: { run: 63 }, received: 64 }]);
  server.latest.deliver(chunk(64));
  clock.sleep(5000);
  server.latest.deliver(chunk(65));
  assert.deepEqual(server.latest.ofType("ack")[1], { type: "ack", cursors: { run: 65 }, received: 66 });
});

test("a new connection counts its frames anew", async () => {
  const { clock, server } = await started();
  server.greet();
  server.latest.deliver(chunk(1));
  server.latest.drop(4408);
  await clock.pass(1000);
  server.greet();
  server.latest.deliver(chunk(2));
  await clock.pass(1000);
  assert.deepEqual(server.latest.ofType("ack"), [{ type: "ack", cursors: { run: 2 }, received: 2 }]);
});

test("what is no frame is counted and passed over", async () => {
  const { clock, server, connection } = await started();
  server.greet();
  for (const text of ["", "[]", "null", "{", '{"type": 3}', '{"no": "type"}']) server.latest.deliverText(text);
  server.latest.deliverText('{"type": "from_a_newer_server", "what": 1}');
  await clock.pass(1000);
  assert.equal(connection.state.phase, "connected");
  assert.equal(server.latest.ofType("ack")[0]?.received, 8);
});

test("stopping leaves no timer and no socket", async () => {
  const { clock, server, connection } = await started();
  server.greet();
  server.latest.deliver(chunk(1));
  connection.stop();
  assert.equal(clock.waiting, 0);
  assert.equal(server.latest.closedByPage, true);
  server.latest.deliver(established());
  assert.equal(connection.state.phase, "idle");
});
