import assert from "node:assert/strict";
import { test } from "node:test";
import type { Fetch } from "../src/chat/rest";
import { ThreadActions } from "../src/chat/thread_actions";
import { ThreadList } from "../src/chat/thread_list";
import { Toasts } from "../src/chat/toasts";
import type { ThreadSummary } from "../src/protocol/frames";
import { RestError } from "../src/session/rest";
import { FakeClock } from "./fake_clock";

/** A server with two threads, whose titles are their entity tags; what fails is said before. */
class Server {
  readonly threads = new Map<string, ThreadSummary>();
  readonly deleted = new Map<string, ThreadSummary>();
  readonly asked: string[] = [];
  fails: RestError | null = null;

  constructor() {
    for (const id of ["a", "b"]) this.threads.set(id, { id, title: id, created_at: "2026", updated_at: `2026-${id}`, archived: false });
  }

  readonly fetch: Fetch = async ({ method, path, body, ifMatch, heard }) => {
    await Promise.resolve();
    const [, , , id = "", restore] = path.split("?")[0]?.split("/") ?? [];
    if (method !== "GET") {
      this.asked.push(`${method} ${id}${restore ? " restore" : ""}`);
      if (this.fails) throw this.fails;
    }
    if (id === "") return { threads_version: 1, threads: [...this.threads.values()], matches: [], next: null };
    const thread = restore ? this.deleted.get(id) : this.threads.get(id);
    if (!thread) throw new RestError("THREAD_NOT_FOUND", "", 404);
    if (method === "DELETE") return void (this.deleted.set(id, thread), this.threads.delete(id));
    if (ifMatch !== undefined && ifMatch !== thread.title) throw new RestError("PRECONDITION_FAILED", "", 412);
    const changed = { ...thread, ...(body as Partial<ThreadSummary> | undefined) };
    this.threads.set(id, changed);
    heard?.(new Headers({ ETag: changed.title }));
    return changed;
  };
}

async function begun(): Promise<{ server: Server; list: ThreadList; actions: ThreadActions; toasts: Toasts; clock: FakeClock; opened: (string | null)[]; titles: () => string[] }> {
  const server = new Server();
  const clock = new FakeClock();
  const toasts = new Toasts(clock);
  const list = new ThreadList(server.fetch, () => {});
  const opened: (string | null)[] = [];
  await list.reload();
  const open = (id: string | null): void => void opened.push(id);
  const actions = new ThreadActions({ fetch: server.fetch, lists: [list], toasts, isOpen: (id) => id === "a", open });
  return { server, list, actions, toasts, clock, opened, titles: () => list.threads.value.map((thread) => thread.title) };
}

const thread = (list: ThreadList, id: string): ThreadSummary => {
  const found = list.threads.value.find((each) => each.id === id);
  assert.ok(found);
  return found;
};
const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

test("a thread is renamed in the list at once, and a title that is as it was asks for nothing", async () => {
  const { server, list, actions, titles } = await begun();
  actions.startRenaming(thread(list, "b"));
  await actions.rename("  Better ");
  assert.deepEqual(titles(), ["Better", "a"]);
  actions.startRenaming(thread(list, "b"));
  await actions.rename("Better");
  assert.equal(actions.renaming.value, null);
  assert.deepEqual(server.asked, ["PATCH b"]);
});

for (const told of [true, false]) {
  test(`who renames what another tab has renamed meanwhile is told, with${told ? "" : "out"} a notice, and may do it still`, async () => {
    const { server, list, actions, titles } = await begun();
    actions.startRenaming(thread(list, "b"));
    await settled();
    server.threads.set("b", { ...thread(list, "b"), title: "Theirs" });
    if (told) actions.retitled({ ...thread(list, "b"), title: "Theirs" });
    else await actions.rename("Mine");
    assert.equal(actions.renaming.value?.theirs, "Theirs");
    assert.equal(server.threads.get("b")?.title, "Theirs");
    await actions.rename("Mine");
    assert.deepEqual([titles(), actions.renaming.value], [["Mine", "a"], null]);
  });
}

test("a deletion is shown at once and undone by the server; what was open is open again", async () => {
  const { server, list, actions, toasts, opened, titles } = await begun();
  const deleting = actions.delete(thread(list, "a"));
  assert.deepEqual([titles(), opened], [["b"], [null]]);
  toasts.undo();
  await deleting;
  await settled();
  assert.deepEqual(server.asked, ["DELETE a", "POST a restore"]);
  assert.deepEqual([titles(), opened, actions.restored.value], [["b", "a"], [null, "a"], "a"]);
  assert.equal(toasts.shown.value, null);
});

test("a deletion that the server refuses leaves the thread, and says why", async () => {
  const { server, list, actions, toasts, titles } = await begun();
  server.fails = new RestError("UNREACHABLE", "", 0);
  await actions.delete(thread(list, "b"));
  assert.deepEqual(titles(), ["b", "a"]);
  assert.equal(toasts.shown.value?.kind, "failed");
});

test("a thread that another tab has deleted is gone without a complaint", async () => {
  const { server, list, actions, toasts, titles } = await begun();
  server.threads.delete("b");
  await actions.delete(thread(list, "b"));
  assert.deepEqual([titles(), toasts.shown.value?.kind], [["a"], "done"]);
});

test("a thread is put away and brought back by undo", async () => {
  const { server, list, actions, toasts, titles } = await begun();
  const archiving = actions.archive(thread(list, "b"), true);
  assert.deepEqual(titles(), ["a"]);
  await archiving;
  toasts.undo();
  await settled();
  await settled();
  assert.deepEqual(titles(), ["b", "a"]);
  assert.equal(server.threads.get("b")?.archived, false);
});

test("an undo reaches the server after what it undoes", async () => {
  const { server, list, actions, toasts, titles } = await begun();
  const order: unknown[] = [];
  const held = server.threads.get("b");
  void actions.archive(thread(list, "b"), true).then(() => order.push(server.threads.get("b")?.archived));
  toasts.undo();
  assert.deepEqual([titles(), held?.archived], [["b", "a"], false]);
  await settled();
  await settled();
  assert.deepEqual([server.asked, order, server.threads.get("b")?.archived], [["PATCH b", "PATCH b"], [true], false]);
});

test("what the server says of a change that was undone is not shown any more", async () => {
  const { list, actions, toasts, titles } = await begun();
  const b = thread(list, "b");
  const told = (archived: boolean): boolean | undefined => actions.told({ ...b, archived }).archived;
  void actions.archive(b, true);
  toasts.undo();
  assert.equal(told(true), false);
  await settled();
  await settled();
  assert.deepEqual([told(true), titles()], [false, ["b", "a"]]);
  assert.equal(told(false), false);
  assert.equal(told(true), true, "another tab has put it away");
  void actions.archive(b, true);
  await settled();
  actions.settle();
  assert.equal(told(false), false, "the notice was lost, the list was read");
});

test("a toast goes by itself, but not while the person is on it", async () => {
  const { toasts, clock } = await begun();
  toasts.done("Done");
  toasts.hold();
  await clock.pass(60_000);
  assert.equal(toasts.shown.value?.kind, "done");
  toasts.resume();
  await clock.pass(12_000);
  assert.equal(toasts.shown.value, null);
});
