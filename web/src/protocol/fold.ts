// The client's half of delivery: folds the frames of one socket after another into state. Pure; `chat/fold.py` is its
// specification, and the traces in tests/traces show the same frames and states.
import type { Command, ConnectionEstablished, Frame, OpenRun, Resumed, RunEvent, RunStatus, ThreadNotice, Usage } from "./frames";
import { isOpen, isRunEvent } from "./frames";
import { foldEvent, type RunState, unbegun } from "./run";

export interface Stale {
  readonly list: boolean;
  readonly all: boolean;
  readonly threads: readonly string[];
}

export interface ClientState {
  /** The highest run number known when all before it was known, too: the next `after_run`. */
  readonly lastRunNumber: number | null;
  readonly threadsVersion: number | null;
  readonly runs: Readonly<Record<string, RunState>>;
  /** What must be loaded over REST. */
  readonly stale: Stale;
  readonly catchingUp: boolean;
  readonly highestAnnounced: number;
  /** By thread, the version at which its deletion was told; one that was restored since is not among them. */
  readonly deletedThreads: Readonly<Record<string, number>>;
  /** By thread, the highest version at which it is known to be there. */
  readonly createdThreads: Readonly<Record<string, number>>;
}

const FRESH: Stale = { list: false, all: false, threads: [] };

export const INITIAL: ClientState = {
  lastRunNumber: null,
  threadsVersion: null,
  runs: {},
  stale: FRESH,
  catchingUp: false,
  highestAnnounced: 0,
  deletedThreads: {},
  createdThreads: {},
};

export class ProtocolViolation extends Error {
  constructor(runId: string, expected: number, got: number) {
    super(`run ${runId}: expected seq ${expected}, got ${got}`);
  }
}

export type { RunState, RunStatus, Usage };

/** Take the next frame of the socket. Throws ProtocolViolation when the server left out an event. */
export function fold(state: ClientState, frame: Frame): ClientState {
  if (isRunEvent(frame)) return foldRunEvent(state, frame);
  switch (frame.type) {
    case "connection_established":
      return connected(state, frame);
    case "resumed":
      return resumed(state, frame);
    case "snapshot_required":
      return lose(state, frame.run_ids);
    case "thread_created":
    case "thread_updated":
    case "thread_deleted":
      return noticed(state, frame);
    case "pong":
      return versioned(state, frame.threads_version);
    default:
      return state;
  }
}

/** The run that this frame moved on: a duplicate moves none. */
export function movedRun(before: ClientState, after: ClientState, frame: Frame): string | null {
  if (!isRunEvent(frame)) return null;
  return before.runs[frame.run_id] === after.runs[frame.run_id] ? null : frame.run_id;
}

/** Up to which event the page has each run that has not ended. */
export function cursors(state: ClientState): Record<string, number> {
  return Object.fromEntries(
    Object.entries(state.runs)
      .filter(([, run]) => isOpen(run.status))
      .map(([id, run]) => [id, run.last_seq]),
  );
}

/** What to send first on a new connection, or null when there is nothing to ask for. */
export function resumeCommand(state: ClientState): Command | null {
  const wanted = Object.entries(state.runs).filter(
    ([, run]) => isOpen(run.status) || run.run_number > (state.lastRunNumber ?? 0),
  );
  const named = Object.fromEntries(wanted.map(([id, run]) => [id, run.last_seq]));
  if (state.catchingUp) return { type: "resume", cursors: named, after_run: state.lastRunNumber ?? 0 };
  return wanted.length > 0 ? { type: "resume", cursors: named } : null;
}

/** A run known from `connection_established` or REST, none of whose events is here yet. */
export function withRun(state: ClientState, run: Pick<OpenRun, "run_id" | "run_number" | "thread_id" | "status">): ClientState {
  if (run.run_id in state.runs || run.thread_id in state.deletedThreads) return state;
  return { ...state, runs: { ...state.runs, [run.run_id]: unbegun(run.run_number, run.thread_id, run.status) } };
}

/** The list of threads has been loaded, as it was at this version; it is stale when a notice has overtaken it. */
export function listLoaded(before: ClientState, version: number, found: readonly string[] = []): ClientState {
  const state = found.filter((id) => id in before.deletedThreads).reduce((known, id) => threadExists(known, id, version), before);
  const list = version < (state.threadsVersion ?? 0);
  return { ...state, threadsVersion: Math.max(version, state.threadsVersion ?? 0), stale: { ...state.stale, list } };
}

/** REST shows a thread that was deleted when it was asked for: it is back. */
export function threadShown(state: ClientState, id: string): ClientState {
  const deletedAt = state.deletedThreads[id];
  return deletedAt === undefined ? state : threadExists(state, id, deletedAt + 1);
}

/** What was shown of the threads has been loaded again. */
export function threadsLoaded(state: ClientState): ClientState {
  return { ...state, stale: { ...FRESH, list: state.stale.list } };
}

function connected(state: ClientState, frame: ConnectionEstablished): ClientState {
  const counted =
    state.threadsVersion === null ? { ...state, threadsVersion: frame.threads_version } : versioned(state, frame.threads_version);
  const begun: ClientState =
    state.lastRunNumber === null ? { ...counted, lastRunNumber: frame.last_run_number } : { ...counted, catchingUp: true };
  return frame.open_runs.reduce(withRun, { ...begun, highestAnnounced: frame.last_run_number });
}

function resumed(state: ClientState, frame: Resumed): ClientState {
  const runs = { ...state.runs };
  for (const [id, run] of Object.entries(frame.runs)) runs[id] ??= unbegun(run.run_number, null, "queued");
  const lost = lose({ ...state, runs }, frame.snapshot_required);
  const stale = frame.reload ? { ...lost.stale, list: true, all: true } : lost.stale;
  return {
    ...lost,
    runs: without(lost.runs, (id) => frame.gone.includes(id)),
    stale,
    catchingUp: false,
    lastRunNumber: Math.max(state.lastRunNumber ?? 0, state.highestAnnounced),
  };
}

function lose(state: ClientState, runIds: readonly string[]): ClientState {
  if (runIds.length === 0) return state;
  const threads = new Set(state.stale.threads);
  let { all } = state.stale;
  for (const id of runIds) {
    const thread = state.runs[id]?.thread_id;
    if (thread) threads.add(thread);
    else all = true;
  }
  return {
    ...state,
    runs: without(state.runs, (id) => runIds.includes(id)),
    stale: { ...state.stale, all, threads: [...threads].sort() },
  };
}

function noticed(state: ClientState, frame: ThreadNotice): ClientState {
  const next = frame.threads_version === (state.threadsVersion ?? 0) + 1;
  const counted = next ? { ...state, threadsVersion: frame.threads_version } : versioned(state, frame.threads_version);
  const { id } = frame.thread;
  if (frame.type === "thread_created") return threadExists(counted, id, frame.threads_version);
  if (frame.type !== "thread_deleted" || frame.threads_version <= (counted.createdThreads[id] ?? 0)) return counted;
  return {
    ...counted,
    deletedThreads: { ...counted.deletedThreads, [id]: frame.threads_version },
    runs: without(counted.runs, (_, run) => run.thread_id === id),
    stale: { ...counted.stale, threads: counted.stale.threads.filter((thread) => thread !== id) },
  };
}

/** It was there at this version. Notices can come out of order: a deletion before that is over. */
function threadExists(state: ClientState, id: string, version: number): ClientState {
  const createdThreads = { ...state.createdThreads, [id]: Math.max(version, state.createdThreads[id] ?? 0) };
  const { [id]: deletedAt = version, ...deletedThreads } = state.deletedThreads;
  return version > deletedAt ? { ...state, createdThreads, deletedThreads } : { ...state, createdThreads };
}

/** The version never falls; a rise without its notice makes the list stale. */
function versioned(state: ClientState, version: number): ClientState {
  if (version <= (state.threadsVersion ?? 0)) return state;
  return { ...state, threadsVersion: version, stale: { ...state.stale, list: true } };
}

function foldRunEvent(state: ClientState, event: RunEvent): ClientState {
  const highestAnnounced = Math.max(state.highestAnnounced, event.run_number);
  const lastRunNumber = state.catchingUp ? state.lastRunNumber : Math.max(state.lastRunNumber ?? 0, event.run_number);
  const counted = { ...state, highestAnnounced, lastRunNumber };
  if (event.thread_id in state.deletedThreads) return counted;
  const known = state.runs[event.run_id];
  const run = known ?? unbegun(event.run_number, event.thread_id, "queued");
  const expected = run.last_seq + 1;
  if (event.seq < expected) return counted;
  // A `snapshot_required` has crossed the `resume` of this run.
  if (event.seq > expected && expected === 1) return { ...counted, stale: { ...state.stale, all: true } };
  if (event.seq > expected) throw new ProtocolViolation(event.run_id, expected, event.seq);
  return { ...counted, runs: { ...state.runs, [event.run_id]: foldEvent(run, event) } };
}

function without(
  runs: ClientState["runs"],
  leaves: (id: string, run: RunState) => boolean,
): ClientState["runs"] {
  return Object.fromEntries(Object.entries(runs).filter(([id, run]) => !leaves(id, run)));
}
