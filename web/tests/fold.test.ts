// The reducer against the recorded traces of chat/fold.py, and what the traces cannot show.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { EMPTY_HISTORY } from "../src/chat/history";
import { answerView } from "../src/chat/turns";
import { type ClientState, cursors, fold, INITIAL, listLoaded, movedRun, ProtocolViolation, resumeCommand, threadsLoaded, withRun } from "../src/protocol/fold";
import { type Frame, isOpen, type RunEvent } from "../src/protocol/frames";
import { Receipts } from "../src/protocol/receipts";
import { established, event } from "./frames";
import { newestTurns } from "./newest_turns";

declare const TRACES: string;

/** What happens at the client between two frames; `$sends` is what it sends there. */
type Mark =
  | { readonly type: "$disconnected" }
  | { readonly type: "$reloaded" }
  | { readonly type: "$sends"; readonly frame: { readonly type: "resume" | "ack"; readonly ref?: string } };

interface Trace {
  readonly name: string;
  readonly frames: readonly (Frame | Mark)[];
  readonly state: unknown;
}

const traces = readdirSync(TRACES)
  .filter((name) => name.endsWith(".json"))
  .sort()
  .map((name) => JSON.parse(readFileSync(join(TRACES, name), "utf8")) as Trace);

/** The form in which the oracle writes its state. */
function stateJson(state: ClientState): unknown {
  return JSON.parse(
    JSON.stringify({
      last_run_number: state.lastRunNumber,
      threads_version: state.threadsVersion,
      cursors: cursors(state),
      stale: state.stale,
      runs: state.runs,
    }),
  );
}

function isMark(frame: Frame | Mark): frame is Mark {
  return frame.type.startsWith("$");
}

function step(state: ClientState, frame: Frame | Mark): ClientState {
  if (!isMark(frame)) return fold(state, frame);
  return frame.type === "$reloaded" ? threadsLoaded(listLoaded(state, state.threadsVersion ?? 0)) : state;
}

function folded(frames: Trace["frames"]): ClientState {
  return frames.reduce(step, INITIAL);
}

/** Replays a trace and compares what the client sends on the way. */
function replayed(trace: Trace): ClientState {
  let state = INITIAL;
  let receipts = new Receipts();
  for (const frame of trace.frames) {
    if (isMark(frame)) {
      if (frame.type === "$sends") {
        const { ref: _, ...expected } = frame.frame;
        assert.deepEqual(expected.type === "ack" ? receipts.take((id) => state.runs[id]?.last_seq) : resumeCommand(state), expected);
      }
      state = step(state, frame);
      continue;
    }
    if (frame.type === "connection_established") receipts = new Receipts();
    const before = state;
    state = step(state, frame);
    receipts.note(0, movedRun(before, state, frame));
  }
  return state;
}

test("there are traces to replay", () => {
  assert.ok(traces.length >= 10, `${traces.length} in ${TRACES}`);
});

for (const trace of traces) {
  test(`replays the trace ${trace.name}`, () => {
    assert.deepEqual(stateJson(replayed(trace)), trace.state);
  });

  test(`folding the trace ${trace.name} changes no state in place`, () => {
    let state = INITIAL;
    for (const frame of trace.frames) {
      const before = stateJson(state);
      const next = step(state, frame);
      assert.deepEqual(stateJson(state), before);
      state = next;
    }
  });

  test(`receiving each event of the trace ${trace.name} twice makes no difference`, () => {
    const doubled = trace.frames.flatMap((frame): Trace["frames"] => ("seq" in frame ? [frame, frame] : [frame]));
    assert.deepEqual(stateJson(folded(doubled)), trace.state);
  });
}

for (const trace of traces) {
  test(`at no moment of the trace ${trace.name} is a question there twice, or an ended answer open again`, () => {
    const threads = new Set(trace.frames.flatMap((frame) => ("seq" in frame ? [frame.thread_id] : [])));
    const ended = new Map<string, string>();
    let state = INITIAL;
    for (const frame of trace.frames) {
      state = step(state, frame);
      for (const threadId of threads) {
        const turns = newestTurns({ threadId, conversation: threadId, history: EMPTY_HISTORY, runs: state.runs, outbox: [] });
        assert.equal(new Set(turns.map((turn) => turn.key)).size, turns.length);
        for (const answer of turns.flatMap((turn) => turn.answer ?? [])) {
          const { status, text } = answerView(answer);
          const before = ended.get(answer.runId);
          if (before !== undefined) assert.equal(`${status} ${text}`, before);
          if (!isOpen(status)) ended.set(answer.runId, `${status} ${text}`);
        }
      }
    }
  });
}

test("a gap is a violation of the protocol", () => {
  const state = folded([established(), event(1, "message_created", { message: { id: "m", role: "user", content: "?" } })]);
  assert.throws(() => fold(state, event(3, "agent_response_chunk", { message_id: "a", text: "x" })), ProtocolViolation);
});

test("an event of an unknown type only moves the cursor", () => {
  const state = folded([established(), event(1, "message_created", { message: { id: "m", role: "user", content: "?" } })]);
  const unknown = { ...event(2, "agent_response_chunk", { message_id: "a", text: "x" }), type: "agent_dreamed" } as unknown as RunEvent;
  assert.deepEqual(fold(state, unknown).runs["run"], { ...state.runs["run"], last_seq: 2 });
});

test("the first connection resumes the open runs that it announces, from their beginning", () => {
  const open = { run_id: "r", run_number: 3, thread_id: "t", status: "running", last_seq: 9 } as const;
  assert.equal(resumeCommand(folded([established()])), null);
  const command = resumeCommand(folded([established({ open_runs: [open] })]));
  assert.deepEqual(command, { type: "resume", cursors: { r: 0 } });
});

test("after a reconnect the resume names open runs and what began meanwhile", () => {
  const state = folded([
    established({ last_run_number: 4 }),
    event(1, "message_created", { message: { id: "m", role: "user", content: "?" } }, { run_number: 5 }),
    { type: "$disconnected" },
    established({ last_run_number: 8 }),
  ]);
  assert.deepEqual(resumeCommand(state), { type: "resume", cursors: { run: 1 }, after_run: 5 });
});

test("a run known from REST is resumed from its beginning, but never replaces what is known", () => {
  const run = { run_id: "run", run_number: 5, thread_id: "thread", status: "running" } as const;
  const known = withRun(INITIAL, run);
  assert.deepEqual(cursors(known), { run: 0 });
  const moved = fold(known, event(1, "message_created", { message: { id: "m", role: "user", content: "?" } }));
  assert.equal(withRun(moved, run), moved);
});

test("a list that a notice has overtaken while it was loaded is stale", () => {
  const stale = folded([established({ threads_version: 3 }), { type: "pong", threads_version: 6 }]);
  assert.equal(stale.stale.list, true);
  assert.equal(listLoaded(stale, 5).stale.list, true);
  assert.equal(listLoaded(stale, 6).stale.list, false);
  assert.equal(listLoaded(stale, 7).threadsVersion, 7);
  assert.equal(listLoaded(folded([established({ threads_version: 8 })]), 7).stale.list, true);
});

test("threads that were loaded again are no longer stale, the list on its own", () => {
  const lost = folded([established(), { type: "pong", threads_version: 9 }, { type: "snapshot_required", run_ids: ["x"] }]);
  assert.deepEqual(threadsLoaded(lost).stale, { list: true, all: false, threads: [] });
});
