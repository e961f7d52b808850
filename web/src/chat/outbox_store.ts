// Where the outbox outlives its page. Each tab has a box of its own in the browser's storage, and a lock for as long as
// it lives: what stands in a box whose lock is free was left by a tab that is closed, and another tab takes it over.
// The server knows a message by its id, so that one that was taken while its tab sent it is still one message.
import { newMessageId } from "../protocol/identifier";
import { type Outbox, restored, stored } from "../protocol/outbox";
import { PREFIX, quietly } from "./storage";

/** A page that is read again takes its box back within this time; nobody else takes it before. */
const GRACE_MS = 2000;
/** The lock of the page before a reload is given back a moment after the new page begins. */
const OWN_LOCK_MS = 300;
const TAB_KEY = `${PREFIX}.tab`;

type Notes = Pick<Storage, "getItem" | "setItem" | "removeItem" | "key" | "length">;

export interface StoreParts {
  /** Null when the browser keeps nothing: the outbox then lives as long as its page. */
  readonly boxes: Notes | null;
  /** What belongs to the tab and survives its reload. A duplicated tab begins with a copy. */
  readonly tab: Notes | null;
  /** Browsers have locks in secure contexts only. Without them a page takes what others hold, too, and they let it go. */
  readonly locks: Pick<LockManager, "request"> | undefined;
  readonly pause: (milliseconds: number) => Promise<void>;
}

export class OutboxStore {
  #parts: StoreParts;
  #prefix: string;
  #key: string;
  #watched = new Set<string>();
  #close = new AbortController();
  #letGo: () => void = () => {};

  private constructor(parts: StoreParts, prefix: string, key: string) {
    this.#parts = parts;
    this.#prefix = prefix;
    this.#key = key;
  }

  /** The box of this tab, or a new one when another tab has it: this one is its duplicate. */
  static async open(userId: string, parts: StoreParts = browser()): Promise<OutboxStore> {
    const prefix = `${PREFIX}.outbox.${userId}.`;
    const before = quietly(() => parts.tab?.getItem(TAB_KEY) ?? null);
    const name = before ?? newMessageId();
    const store = new OutboxStore(parts, prefix, prefix + name);
    if (!(await store.#hold(before !== null))) {
      store.#key = prefix + newMessageId();
      await store.#hold(false);
    }
    quietly(() => parts.tab?.setItem(TAB_KEY, store.#key.slice(prefix.length)));
    return store;
  }

  read(): Outbox {
    return this.#read(this.#key);
  }

  /** A page that was left may still have something to say; the box is another's by then. */
  write(outbox: Outbox): void {
    if (this.#close.signal.aborted) return;
    const text = stored(outbox);
    quietly(() => (text === "[]" ? this.#parts.boxes?.removeItem(this.#key) : this.#parts.boxes?.setItem(this.#key, text)));
  }

  /** Gives what closed tabs have left, now and as long as this page lives. `take` writes it into this tab's box. */
  adopt(take: (left: Outbox) => void): void {
    for (const key of this.#others()) {
      if (this.#watched.has(key)) continue;
      this.#watched.add(key);
      void this.#takeWhenFree(key, take).finally(() => this.#watched.delete(key));
    }
  }

  /**
   * Another tab has changed what is stored: it has a box now; or, where there are no locks, it has taken this one, whose
   * messages are then no longer this page's to send.
   */
  changed({ key, newValue }: Pick<StorageEvent, "key" | "newValue">, take: (left: Outbox) => void, taken: () => void): void {
    if (key === this.#key && newValue === null) taken();
    else if (key?.startsWith(this.#prefix) && newValue !== null) this.adopt(take);
  }

  /** Lets another tab, or the next visit, have what is left. */
  close(): void {
    this.#close.abort();
    this.#letGo();
  }

  /** Hold the lock of the own box until `close`. */
  async #hold(isOwn: boolean): Promise<boolean> {
    const { locks } = this.#parts;
    if (!locks) return true;
    const wish: LockOptions = isOwn ? { signal: AbortSignal.timeout(OWN_LOCK_MS) } : {};
    return new Promise((resolve) => {
      const held = async (): Promise<void> => {
        resolve(true);
        await new Promise<void>((letGo) => (this.#letGo = letGo));
      };
      locks.request(this.#key, wish, held).catch(() => resolve(false));
    });
  }

  async #takeWhenFree(key: string, take: (left: Outbox) => void): Promise<void> {
    const { locks, pause } = this.#parts;
    const { signal } = this.#close;
    const move = (): void => {
      if (signal.aborted) return;
      take(this.#read(key));
      quietly(() => this.#parts.boxes?.removeItem(key));
    };
    try {
      if (!locks) {
        await pause(GRACE_MS);
        move();
        return;
      }
      while (!signal.aborted && this.#read(key).length > 0) {
        await locks.request(key, { signal }, () => {});
        await pause(GRACE_MS);
        await locks.request(key, { ifAvailable: true }, (lock) => (lock ? move() : undefined));
      }
    } catch {
      // Closed meanwhile.
    }
  }

  #read(key: string): Outbox {
    return restored(quietly(() => this.#parts.boxes?.getItem(key) ?? null));
  }

  #others(): string[] {
    const { boxes } = this.#parts;
    if (!boxes) return [];
    const keys = quietly(() => Array.from({ length: boxes.length }, (_, place) => boxes.key(place) ?? "")) ?? [];
    return keys.filter((key) => key.startsWith(this.#prefix) && key !== this.#key);
  }
}

function browser(): StoreParts {
  return {
    boxes: quietly(() => localStorage),
    tab: quietly(() => sessionStorage),
    locks: (navigator as Partial<Navigator>).locks,
    pause: (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
  };
}
