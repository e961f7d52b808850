// The messages and runs of one thread that REST has shown, oldest first; pages join by id. Pure.
import type { MessagesPage, RestMessage, RestRun } from "./rest";

export interface History {
  readonly messages: readonly RestMessage[];
  readonly runs: Readonly<Record<string, RestRun>>;
  /** The cursor of the page before, null at the thread's beginning. */
  readonly previous: string | null;
}

export const EMPTY_HISTORY: History = { messages: [], runs: {}, previous: null };

function runsById(runs: readonly RestRun[]): Record<string, RestRun> {
  return Object.fromEntries(runs.map((run) => [run.id, run]));
}

/** The newest page, read again or for the first time; older pages stay when the two overlap. */
export function refreshed(history: History, page: MessagesPage): History {
  const first = page.messages[0]?.id;
  const overlap = history.messages.findIndex((message) => message.id === first);
  if (overlap < 0) return { messages: page.messages, runs: runsById(page.runs), previous: page.previous };
  return {
    messages: [...history.messages.slice(0, overlap), ...page.messages],
    runs: { ...history.runs, ...runsById(page.runs) },
    previous: overlap === 0 ? page.previous : history.previous,
  };
}

export function extended(history: History, older: MessagesPage): History {
  const known = new Set(history.messages.map((message) => message.id));
  return {
    messages: [...older.messages.filter((message) => !known.has(message.id)), ...history.messages],
    runs: { ...runsById(older.runs), ...history.runs },
    previous: older.previous,
  };
}
