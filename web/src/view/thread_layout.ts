// Where each row of a long list stands, so that only those in view need to be drawn. In pixels from the top. Pure.
import type { ThreadSummary } from "../protocol/frames";

export interface RowGroup {
  readonly key: string;
  readonly title: string;
  readonly threads: readonly ThreadSummary[];
}

export interface Heights {
  readonly title: number;
  readonly row: (thread: ThreadSummary) => number;
}

export interface Row {
  readonly thread: ThreadSummary;
  /** Within its group. */
  readonly top: number;
  readonly height: number;
  /** Its number among the group's, from 1. */
  readonly place: number;
}

export interface Block {
  readonly group: RowGroup;
  readonly top: number;
  readonly height: number;
  readonly rows: readonly Row[];
}

export interface Layout {
  readonly blocks: readonly Block[];
  readonly height: number;
  /** All threads, from the top. */
  readonly threads: readonly ThreadSummary[];
}

export function layoutOf(groups: readonly RowGroup[], heights: Heights): Layout {
  let top = 0;
  const blocks = groups.map((group) => {
    let at = heights.title;
    const rows = group.threads.map((thread, index) => {
      const row = { thread, top: at, height: heights.row(thread), place: index + 1 };
      at += row.height;
      return row;
    });
    const block = { group, top, height: at, rows };
    top += at;
    return block;
  });
  return { blocks, height: top, threads: groups.flatMap((group) => group.threads) };
}

/** What of it lies between two heights, or is `always` drawn: what has the focus stays where it is. */
export function rowsWithin({ blocks }: Layout, from: number, to: number, always: string | null): Block[] {
  const shown: Block[] = [];
  for (const block of blocks) {
    const isNear = block.top < to && block.top + block.height > from;
    const rows = block.rows.filter((row) => {
      const top = block.top + row.top;
      return (isNear && top < to && top + row.height > from) || row.thread.id === always;
    });
    if (isNear || rows.length > 0) shown.push({ ...block, rows });
  }
  return shown;
}

/** Where a thread's row begins and ends, its group's title kept clear; null for one that is not there. */
export function placeOf({ blocks }: Layout, id: string, title: number): { readonly top: number; readonly bottom: number } | null {
  for (const block of blocks) {
    const row = block.rows.find((each) => each.thread.id === id);
    if (row) return { top: block.top + row.top - title, bottom: block.top + row.top + row.height };
  }
  return null;
}
