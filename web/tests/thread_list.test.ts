import assert from "node:assert/strict";
import { test } from "node:test";
import { addressOf, threadInAddress } from "../src/chat/place";
import type { Fetch } from "../src/chat/rest";
import { noticed, ThreadList } from "../src/chat/thread_list";
import type { ThreadNotice, ThreadSummary } from "../src/protocol/frames";

const thread = (id: string, updated: string, title = id): ThreadSummary => ({ id, title, created_at: updated, updated_at: updated });
const notice = (type: ThreadNotice["type"], about: ThreadSummary): ThreadNotice => ({ type, thread: about, threads_version: 1 });
const ids = (threads: readonly ThreadSummary[]): string[] => threads.map((each) => each.id);

const list = [thread("c", "2026-03"), thread("b", "2026-02")];

test("a new thread, and one that was written in, comes first", () => {
  assert.deepEqual(ids(noticed(list, notice("thread_created", thread("d", "2026-04")), false)), ["d", "c", "b"]);
  assert.deepEqual(ids(noticed(list, notice("thread_updated", thread("b", "2026-05")), false)), ["b", "c"]);
});

test("a renamed thread keeps its place, a deleted one leaves", () => {
  const renamed = noticed(list, notice("thread_updated", thread("b", "2026-02", "new title")), false);
  assert.deepEqual(renamed.map((each) => each.title), ["c", "new title"]);
  assert.deepEqual(ids(noticed(list, notice("thread_deleted", thread("c", "2026-03")), false)), ["b"]);
});

test("a renamed thread beyond the last page that was loaded stays out", () => {
  const old = notice("thread_updated", thread("a", "2026-01"));
  assert.deepEqual(ids(noticed(list, old, true)), ["c", "b"]);
  assert.deepEqual(ids(noticed(list, old, false)), ["c", "b", "a"]);
});

test("a thread that is put away, or brought back, changes lists", () => {
  const away = notice("thread_updated", { ...thread("b", "2026-02"), archived: true });
  assert.deepEqual(ids(noticed(list, away, false)), ["c"]);
  assert.deepEqual(ids(noticed([thread("a", "2026-01")], away, false, true)), ["b", "a"]);
  assert.deepEqual(ids(noticed(list, notice("thread_created", thread("b", "2026-02")), false, true)), ["c"]);
});

/** A server with so many threads, one a minute, and its requests. */
function serverOf(count: number): { readonly fetch: Fetch; readonly asked: URLSearchParams[] } {
  const all = Array.from({ length: count }, (_, at) => thread(`t${String(count - at).padStart(5, "0")}`, new Date(2026, 0, 1, 0, count - at).toISOString()));
  const asked: URLSearchParams[] = [];
  const fetch: Fetch = ({ path }) => {
    const query = new URLSearchParams(path.split("?")[1]);
    asked.push(query);
    const from = Number(query.get("cursor") ?? 0);
    const limit = Number(query.get("limit"));
    const next = from + limit < count ? String(from + limit) : null;
    return Promise.resolve({ threads_version: 7, threads: all.slice(from, from + limit), matches: [], next });
  };
  return { fetch, asked };
}

test("pages are joined as they are wanted, and a list that is read again reaches as far as it was looked at", async () => {
  const { fetch, asked } = serverOf(1000);
  const read: number[] = [];
  const threads = new ThreadList(fetch, (version, found) => read.push(version, found.length));
  await threads.reload();
  assert.deepEqual([threads.threads.value.length, threads.hasMore.value], [50, true]);
  while (threads.hasMore.value) await threads.more();
  assert.equal(new Set(ids(threads.threads.value)).size, 1000);
  threads.inView(300);
  const before = asked.length;
  await threads.reload();
  assert.deepEqual([asked.length - before, threads.threads.value.length], [2, 300]);
  assert.deepEqual(read, [7, 50, 7, 300]);
});

test("a thread that is being deleted is hidden until it is known whether it is", async () => {
  const threads = new ThreadList(serverOf(3).fetch, () => {});
  await threads.reload();
  threads.hide("t00002", true);
  assert.deepEqual(ids(threads.threads.value), ["t00003", "t00001"]);
  threads.hide("t00002", false);
  assert.equal(threads.threads.value.length, 3);
  threads.drop("t00002");
  assert.equal(threads.threads.value.length, 2);
});

test("the open thread is in the address", () => {
  const id = "0b8f3c1e-5a0d-4c5e-9a35-0f6f2a7d1c22";
  assert.equal(threadInAddress(addressOf(id)), id);
  assert.equal(threadInAddress(`/t/${id}/`), id);
  for (const path of ["/", "/t/", "/t/1", `/x/${id}`, `/t/${id}/more`]) assert.equal(threadInAddress(path), null);
  assert.equal(addressOf(null), "/");
});
