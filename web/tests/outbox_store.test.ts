// Boxes of several tabs of one browser: who sends what a closed tab has left.
import assert from "node:assert/strict";
import { test } from "node:test";
import { OutboxStore, type StoreParts } from "../src/chat/outbox_store";
import { enqueued, LEFT_UNSENT, adopted, type Outbox, sent } from "../src/protocol/outbox";
import { settle } from "./fake_clock";

class Notes implements Pick<Storage, "getItem" | "setItem" | "removeItem" | "key" | "length"> {
  readonly items = new Map<string, string>();
  get length(): number {
    return this.items.size;
  }
  getItem = (key: string): string | null => this.items.get(key) ?? null;
  setItem = (key: string, text: string): void => void this.items.set(key, text);
  removeItem = (key: string): void => void this.items.delete(key);
  key = (place: number): string | null => [...this.items.keys()][place] ?? null;
}

/** Exclusive locks, as `navigator.locks` has them: in order of the wishes. */
class Locks {
  #held = new Map<string, (() => void)[]>();

  request = (async (name: string, wish: LockOptions, act: (lock: unknown) => unknown) => {
    if (this.#held.has(name)) {
      if (wish.ifAvailable) return act(null);
      await new Promise<void>((granted, refused) => {
        this.#held.get(name)?.push(granted);
        wish.signal?.addEventListener("abort", () => refused(new Error("aborted")));
      });
    } else {
      this.#held.set(name, []);
    }
    try {
      return await act({ name });
    } finally {
      const next = this.#held.get(name)?.shift();
      if (next) next();
      else this.#held.delete(name);
    }
  }) as unknown as LockManager["request"];
}

class Browser {
  readonly boxes = new Notes();
  readonly locks = new Locks();
  #pauses: (() => void)[] = [];

  open(tab = new Notes(), locks: Locks | undefined = this.locks): Promise<OutboxStore> {
    return OutboxStore.open("1", this.parts(tab, locks));
  }

  parts(tab: Notes, locks: Locks | undefined): StoreParts {
    return { boxes: this.boxes, tab, locks, pause: () => new Promise((resolve) => this.#pauses.push(resolve)) };
  }

  /** Let the time pass that a reloading page has to take its box back. */
  async pass(): Promise<void> {
    await settle();
    for (const go of this.#pauses.splice(0)) go();
    await settle();
  }
}

const message = (messageId: string, writtenAt = 0) => ({ messageId, conversation: "t", threadId: "t", content: messageId, agent: null, writtenAt });
const box = (...ids: string[]): Outbox => ids.reduce((all, id) => enqueued(all, message(id)), [] as Outbox);
const ids = (outbox: Outbox): string[] => outbox.map((each) => each.messageId);

/** A tab that adopts: what it has, as it writes it. */
function adopting(store: OutboxStore): { readonly has: () => string[]; readonly take: (left: Outbox) => void } {
  const take = (left: Outbox): void => store.write(adopted(store.read(), left, 0));
  store.adopt(take);
  return { has: () => ids(store.read()), take };
}

test("a reloaded page has its messages back, though another tab was waiting for them", async () => {
  const browser = new Browser();
  const tab = new Notes();
  const first = await browser.open(tab);
  first.write(box("a"));
  const other = adopting(await browser.open());
  first.close();
  await settle();
  const again = await browser.open(tab);
  await browser.pass();
  assert.deepEqual([ids(again.read()), other.has()], [["a"], []]);
  again.close();
  await browser.pass();
  assert.deepEqual(other.has(), ["a"], "and when it is closed in the end, the other tab takes them");
});

test("what a closed tab has left is taken by one tab", async () => {
  const browser = new Browser();
  const closed = await browser.open();
  closed.write(box("a", "b"));
  const tabs = [adopting(await browser.open()), adopting(await browser.open())];
  await browser.pass();
  assert.deepEqual(tabs.map((tab) => tab.has()), [[], []], "while it lives its messages are its own");
  closed.close();
  await browser.pass();
  await browser.pass();
  assert.deepEqual(tabs.map((tab) => tab.has()).sort(), [[], ["a", "b"]]);
});

test("the next visit takes what the last tab has left", async () => {
  const browser = new Browser();
  const closed = await browser.open();
  closed.write(box("a"));
  closed.close();
  const next = adopting(await browser.open());
  await browser.pass();
  assert.deepEqual(next.has(), ["a"]);
  closed.write(box("late"));
  assert.deepEqual(ids(closed.read()), []);
});

test("a duplicated tab begins with nothing, and its original keeps what it has", async () => {
  const browser = new Browser();
  const tab = new Notes();
  const original = await browser.open(tab);
  original.write(box("a"));
  const copy = new Notes();
  for (const [key, text] of tab.items) copy.setItem(key, text);
  // The time that the page waits for its lock keeps no process of node's alive.
  const alive = setInterval(() => {}, 1000);
  const duplicate = await browser.open(copy).finally(() => clearInterval(alive));
  assert.deepEqual([ids(original.read()), ids(duplicate.read())], [["a"], []]);
  duplicate.write(box("b"));
  assert.deepEqual(ids(original.read()), ["a"]);
});

test("another person's messages are left alone", async () => {
  const browser = new Browser();
  const closed = await browser.open();
  closed.write(box("a"));
  closed.close();
  const stranger = await OutboxStore.open("2", browser.parts(new Notes(), browser.locks));
  let taken = 0;
  stranger.adopt(() => (taken += 1));
  await browser.pass();
  assert.equal(taken, 0);
});

test("a tab that begins to wait later is watched, too", async () => {
  const browser = new Browser();
  const busy = await browser.open();
  const other = await browser.open();
  const watching = adopting(other);
  busy.write(box("a"));
  const [key] = [...browser.boxes.items.keys()];
  other.changed({ key: key ?? "", newValue: "[…]" }, watching.take, () => assert.fail("its own is untouched"));
  busy.close();
  await browser.pass();
  assert.deepEqual(watching.has(), ["a"]);
});

test("without locks a page takes what others hold, and those let it go", async () => {
  const browser = new Browser();
  const first = await OutboxStore.open("1", browser.parts(new Notes(), undefined));
  first.write(box("a"));
  const second = await OutboxStore.open("1", browser.parts(new Notes(), undefined));
  second.adopt((left) => second.write(adopted(second.read(), left, 0)));
  await browser.pass();
  let letGo = 0;
  const [key] = [...browser.boxes.items.keys()];
  assert.deepEqual([ids(first.read()), ids(second.read())], [[], ["a"]]);
  first.changed({ key: key ?? "", newValue: null }, () => {}, () => (letGo += 1));
  assert.equal(letGo, 0, "that is not its own box");
  first.write(box("x"));
  const own = [...browser.boxes.items.keys()].find((each) => each !== key) ?? "";
  first.changed({ key: own, newValue: null }, () => {}, () => (letGo += 1));
  assert.equal(letGo, 1);
});

test("a browser that keeps nothing fails nothing", async () => {
  const store = await OutboxStore.open("1", { boxes: null, tab: null, locks: undefined, pause: async () => {} });
  store.write(box("a"));
  store.adopt(() => assert.fail("there is nothing to take"));
  assert.deepEqual(store.read(), []);
});

test("recent messages of a closed tab go out, an old one is offered, and none is there twice", () => {
  const hour = 60 * 60 * 1000;
  const left = [message("old", 0), message("new", 2 * hour), message("here", 0)].reduce(enqueued, [] as Outbox);
  const taken = adopted(box("here"), left, 2 * hour);
  assert.deepEqual(taken.map((each) => [each.messageId, each.state, each.refusal?.error_code]), [
    ["old", "refused", LEFT_UNSENT],
    ["new", "waiting", undefined],
    ["here", "waiting", undefined],
  ]);
  const before = sent(box("here"), "here");
  assert.equal(adopted(before, box("here"), 0), before);
});
