import assert from "node:assert/strict";
import { test } from "node:test";
import { groupsOf } from "../src/chat/groups";
import { looked, type NewsState } from "../src/chat/news";
import type { Fetch } from "../src/chat/rest";
import { LONGEST_SEARCH, marked, ThreadSearch } from "../src/chat/thread_search";
import type { ThreadSummary } from "../src/protocol/frames";
import { layoutOf, placeOf, rowsWithin } from "../src/view/thread_layout";
import { FakeClock } from "./fake_clock";

const at = (date: Date, id = date.toISOString()): ThreadSummary => ({ id, title: id, created_at: date.toISOString(), updated_at: date.toISOString() });

test("threads are grouped by the day of the calendar, then by the month", () => {
  const now = new Date(2026, 2, 10, 0, 30);
  const dates = [
    new Date(2026, 2, 10, 0, 40), // another clock is ahead
    new Date(2026, 2, 10, 0, 10),
    new Date(2026, 2, 9, 23, 50),
    new Date(2026, 2, 8, 12),
    new Date(2026, 2, 3, 0, 1),
    new Date(2026, 2, 2, 23, 59),
    new Date(2026, 1, 28),
    new Date(2025, 2, 9),
  ];
  const groups = groupsOf(dates.map((date) => at(date)), now);
  const found = groups.map(({ key, threads }) => [key, threads.length]);
  assert.deepEqual(found, [["today", 2], ["yesterday", 1], ["week", 2], ["2026-2", 1], ["2026-1", 1], ["2025-2", 1]]);
  assert.equal(groups[3]?.period.name, "month");
});

const THREADS = Array.from({ length: 10_000 }, (_, place) => at(new Date(2026, 0, 1), String(place)));

test("of ten thousand rows only those in view are drawn, and the one with the focus", () => {
  const groups = [
    { key: "a", title: "A", threads: THREADS.slice(0, 10) },
    { key: "b", title: "B", threads: THREADS.slice(10) },
  ];
  const layout = layoutOf(groups, { title: 20, row: ({ id }) => (id === "3" ? 50 : 30) });
  assert.equal(layout.height, 2 * 20 + 10_000 * 30 + 20);
  const ids = (from: number, to: number, always: string | null): string[] =>
    rowsWithin(layout, from, to, always).flatMap(({ rows }) => rows.map((row) => row.thread.id));
  assert.deepEqual(ids(0, 100, null), ["0", "1", "2"]);
  assert.deepEqual(ids(115, 165, null), ["3", "4"]);
  assert.deepEqual(ids(0, 50, "9000"), ["0", "9000"]);
  assert.deepEqual(ids(340, 350, null), [], "a title alone");
  assert.deepEqual(placeOf(layout, "4", 20), { top: 20 + 3 * 30 + 50 - 20, bottom: 20 + 4 * 30 + 50 });
  assert.equal(placeOf(layout, "x", 20), null);
});

const sight = (busy: readonly string[], seen: string | null = null, deleted: readonly string[] = []) =>
  ({ busy: new Set(busy), seen, deleted: (id: string) => deleted.includes(id) });

test("an answer that ended where nobody looked is news until somebody does", () => {
  let state: NewsState = { news: [], awaited: [] };
  const look = (...given: Parameters<typeof sight>): readonly string[] => (state = looked(state, sight(...given))).news;
  assert.deepEqual(look(["a", "b", "c"], "a"), []);
  assert.deepEqual(look(["b"], "a", ["c"]), [], "a was seen, c is deleted");
  assert.deepEqual(look([], "a"), ["b"]);
  assert.deepEqual(look(["b"], "a"), [], "asked again");
  assert.deepEqual(look([]), ["b"]);
  assert.deepEqual(look([], "b"), []);
});

test("what is searched for is marked whatever its case, as text and not as a pattern", () => {
  const hits = (text: string, search: string): string[] => marked(text, search).filter((piece) => piece.hit).map((piece) => piece.text);
  assert.deepEqual(hits("The RIVER and a river", "river"), ["RIVER", "river"]);
  assert.deepEqual(hits("100% of (a+b)", "(a+b)"), ["(a+b)"]);
  assert.equal(marked("abc", "b").map((piece) => piece.text).join("|"), "a|b|c");
  assert.deepEqual(marked("abc", ""), [{ text: "abc", hit: false }]);
});

interface Asked {
  readonly query: URLSearchParams;
  readonly signal: AbortSignal | undefined;
  readonly answer: (threads: readonly string[], next?: string | null) => void;
}

function searching(): { readonly search: ThreadSearch; readonly clock: FakeClock; readonly asked: Asked[] } {
  const asked: Asked[] = [];
  const fetch: Fetch = ({ path, signal }) =>
    new Promise((resolve) => {
      const query = new URLSearchParams(path.split("?")[1]);
      const answer: Asked["answer"] = (threads, next = null) =>
        resolve({ threads_version: 1, threads: threads.map((id) => at(new Date(2026, 0, 1), id)), matches: threads.map((id) => ({ thread_id: id, text: id })), next });
      asked.push({ query, signal, answer });
    });
  const clock = new FakeClock();
  return { search: new ThreadSearch(fetch, clock), clock, asked };
}

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

test("a search asks once the person pauses, and no longer when they go on", async () => {
  const { search, clock, asked } = searching();
  search.type("ri");
  await clock.pass(100);
  search.type("riv ");
  await clock.pass(250);
  assert.deepEqual(asked.map(({ query }) => [query.get("search"), query.get("archived")]), [["riv", "false"]]);
  search.type("river");
  assert.equal(asked[0]?.signal?.aborted, true);
  asked[0]?.answer(["old"]);
  await clock.pass(250);
  assert.equal(search.answered.value, null);
  asked[1]?.answer(["new"]);
  await settled();
  asked[2]?.answer(["away"]);
  await settled();
  assert.deepEqual([search.answered.value, search.found.value.kept.length, search.found.value.archived.length], ["river", 1, 1]);
  assert.equal(search.found.value.texts["away"], "away");
  search.clear();
  assert.deepEqual([search.answered.value, search.found.value.kept], [null, []]);
});

test("further pages of a search come when they are wanted, those that are put away last", async () => {
  const { search, clock, asked } = searching();
  search.type("x".repeat(LONGEST_SEARCH));
  await clock.pass(250);
  asked[0]?.answer(["a"], "p2");
  await settled();
  assert.deepEqual([asked.length, search.found.value.hasMore], [1, true]);
  search.more();
  search.more();
  assert.deepEqual(asked.slice(1).map(({ query }) => [query.get("cursor"), query.get("archived")]), [["p2", "false"]]);
  asked[1]?.answer(["b"]);
  await settled();
  assert.equal(asked[2]?.query.get("archived"), "true");
  asked[2]?.answer(["c"]);
  await settled();
  assert.deepEqual(search.found.value.kept.map(({ id }) => id), ["a", "b"]);
  search.apply({ type: "thread_deleted", thread: at(new Date(), "a"), threads_version: 2 });
  search.apply({ type: "thread_updated", thread: { ...at(new Date(), "b"), title: "B" }, threads_version: 3 });
  assert.deepEqual(search.found.value.kept.map(({ title }) => title), ["B"]);
  search.more();
  assert.equal(asked.length, 3);
});
