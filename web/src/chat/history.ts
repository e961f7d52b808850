// The messages and runs of one thread that REST has shown, of whichever branches. Pages join by id. Pure.
import type { MessagesPage, RestMessage, RestRun } from "./rest";

export interface History {
  readonly messages: Readonly<Record<string, RestMessage>>;
  readonly runs: Readonly<Record<string, RestRun>>;
}

export const EMPTY_HISTORY: History = { messages: {}, runs: {} };

export function joined(history: History, { messages, runs }: MessagesPage): History {
  return {
    messages: { ...history.messages, ...byId(messages) },
    runs: { ...history.runs, ...byId(runs) },
  };
}

/** Whether the page continues what was known before it, or begins where the thread does. */
export function isContinued(history: History, { messages: [first] }: MessagesPage): boolean {
  return !first || first.parent_id === null || first.id in history.messages || first.parent_id in history.messages;
}

function byId<Item extends { readonly id: string }>(items: readonly Item[]): Record<string, Item> {
  return Object.fromEntries(items.map((item) => [item.id, item]));
}
