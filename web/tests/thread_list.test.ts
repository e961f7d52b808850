import assert from "node:assert/strict";
import { test } from "node:test";
import { addressOf, threadInAddress } from "../src/chat/place";
import { noticed } from "../src/chat/thread_list";
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

test("the open thread is in the address", () => {
  const id = "0b8f3c1e-5a0d-4c5e-9a35-0f6f2a7d1c22";
  assert.equal(threadInAddress(addressOf(id)), id);
  assert.equal(threadInAddress(`/t/${id}/`), id);
  for (const path of ["/", "/t/", "/t/1", `/x/${id}`, `/t/${id}/more`]) assert.equal(threadInAddress(path), null);
  assert.equal(addressOf(null), "/");
});
