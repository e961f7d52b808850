// Threads in which an answer has ended that the person has not seen in this browser: also one that ended while the page
// was closed, when the page knew of it.
import { signal } from "@preact/signals";
import { keep, kept, PREFIX, quietly } from "./storage";

export interface NewsState {
  readonly news: readonly string[];
  /** Threads in which an answer was being written. */
  readonly awaited: readonly string[];
}

export interface NewsSight {
  readonly busy: ReadonlySet<string>;
  /** The thread that the person looks at. */
  readonly seen: string | null;
  readonly deleted: (threadId: string) => boolean;
}

const NONE: NewsState = { news: [], awaited: [] };

/** The state after another look at the threads. Pure. */
export function looked({ news, awaited }: NewsState, { busy, seen, deleted }: NewsSight): NewsState {
  const ended = awaited.filter((id) => !busy.has(id));
  const fresh = new Set([...news, ...ended].filter((id) => id !== seen && !busy.has(id) && !deleted(id)));
  return { news: [...fresh], awaited: [...busy].sort() };
}

export class News {
  readonly threads = signal<ReadonlySet<string>>(new Set());

  #key: string;
  #state: NewsState;

  constructor(userId: string) {
    this.#key = `${PREFIX}.news.${userId}`;
    this.#state = read(kept(this.#key));
    this.threads.value = new Set(this.#state.news);
  }

  look(sight: NewsSight): void {
    this.#set(looked(this.#state, sight));
  }

  /** The list was read: a thread that is not in it is gone, or so old that its news are none. */
  listed(ids: readonly string[]): void {
    const there = new Set(ids);
    this.#set({ ...this.#state, news: this.#state.news.filter((id) => there.has(id)) });
  }

  /** Another tab has seen something, or has news. */
  stored(event: StorageEvent, seen: string | null): void {
    if (event.key !== this.#key) return;
    this.#state = { ...this.#state, news: read(event.newValue ?? "").news };
    this.threads.value = new Set(this.#state.news);
    if (seen !== null) this.#set({ ...this.#state, news: this.#state.news.filter((id) => id !== seen) });
  }

  forget(): void {
    keep(this.#key, "");
  }

  #set(state: NewsState): void {
    const text = JSON.stringify(state);
    if (text === JSON.stringify(this.#state)) return;
    this.#state = state;
    this.threads.value = new Set(state.news);
    keep(this.#key, text);
  }
}

function read(text: string): NewsState {
  const given: unknown = quietly(() => JSON.parse(text) as unknown);
  const ids = (name: keyof NewsState): string[] => {
    const value: unknown = typeof given === "object" && given !== null ? (given as Record<string, unknown>)[name] : undefined;
    return Array.isArray(value) ? value.filter((id) => typeof id === "string") : [];
  };
  return given === null ? NONE : { news: ids("news"), awaited: ids("awaited") };
}
