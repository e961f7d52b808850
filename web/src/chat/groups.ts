// The list of threads as people look for one: by the day on which they last wrote in it. Pure.
import type { ThreadSummary } from "../protocol/frames";
import { daysBetween } from "../words/formats";

export type Period =
  | { readonly name: "today" | "yesterday" | "week" }
  /** `date`: some day of the month. */
  | { readonly name: "month"; readonly date: Date };

export interface Group {
  readonly key: string;
  readonly period: Period;
  readonly threads: readonly ThreadSummary[];
}

/** `threads` are in order, the newest first; what is later than `now` by another clock is of today. */
export function groupsOf(threads: readonly ThreadSummary[], now: Date): Group[] {
  const groups: { key: string; period: Period; threads: ThreadSummary[] }[] = [];
  for (const thread of threads) {
    const { key, period } = periodOf(new Date(thread.updated_at), now);
    const last = groups.at(-1);
    if (last?.key === key) last.threads.push(thread);
    else groups.push({ key, period, threads: [thread] });
  }
  return groups;
}

function periodOf(date: Date, now: Date): Pick<Group, "key" | "period"> {
  const days = daysBetween(date, now);
  const name = days <= 0 ? "today" : days === 1 ? "yesterday" : days <= 7 ? "week" : null;
  if (name !== null) return { key: name, period: { name } };
  return { key: `${date.getFullYear()}-${date.getMonth()}`, period: { name: "month", date } };
}
