// What the person looks for among the threads, put away or not: asked for a moment after the last key, and no more when
// another is pressed.
import { signal } from "@preact/signals";
import type { Clock } from "../protocol/clock";
import type { ThreadNotice, ThreadSummary } from "../protocol/frames";
import type { RestError } from "../session/rest";
import { type Fetch, loadThreads, type ThreadsPage } from "./rest";

const AFTER_KEY_MS = 200;
export const LONGEST_SEARCH = 200;

export interface Found {
  readonly kept: readonly ThreadSummary[];
  readonly archived: readonly ThreadSummary[];
  /** By thread, how a message says it. */
  readonly texts: Readonly<Record<string, string>>;
  readonly hasMore: boolean;
}

interface Place {
  readonly archived: boolean;
  readonly cursor: string | null;
}

const NOTHING: Found = { kept: [], archived: [], texts: {}, hasMore: false };
const BEGINNING: Place = { archived: false, cursor: null };

export class ThreadSearch {
  /** What is in the field. */
  readonly query = signal("");
  /** What `found` is the answer to; null while there is none. */
  readonly answered = signal<string | null>(null);
  readonly found = signal<Found>(NOTHING);
  readonly failure = signal<RestError | null>(null);

  #fetch: Fetch;
  #clock: Clock;
  #cancel: () => void = () => {};
  #asking: AbortController | null = null;
  #next: Place | null = null;

  constructor(fetch: Fetch, clock: Clock) {
    this.#fetch = fetch;
    this.#clock = clock;
  }

  type(text: string): void {
    this.query.value = text;
    this.#cancel();
    this.#asking?.abort();
    this.#asking = null;
    this.failure.value = null;
    const search = text.trim();
    if (search === this.answered.value) return;
    if (search === "") this.#show(null, NOTHING, null);
    else this.#cancel = this.#clock.after(AFTER_KEY_MS, () => void this.#ask(search, NOTHING, BEGINNING));
  }

  clear(): void {
    this.type("");
  }

  /** The next page. */
  more(): void {
    const search = this.answered.value;
    if (search !== null && this.#next && !this.#asking) void this.#ask(search, this.found.value, this.#next);
  }

  again(): void {
    const search = this.query.value.trim();
    if (search !== "") void this.#ask(search, NOTHING, BEGINNING);
  }

  /** A thread that was found is another now, or gone. */
  apply(notice: ThreadNotice): void {
    const { thread } = notice;
    const found = this.found.value;
    if (![...found.kept, ...found.archived].some((each) => each.id === thread.id)) return;
    const changed = (threads: readonly ThreadSummary[]): ThreadSummary[] =>
      threads.flatMap((each) => (each.id !== thread.id ? [each] : notice.type === "thread_deleted" ? [] : [thread]));
    this.found.value = { ...found, kept: changed(found.kept), archived: changed(found.archived) };
  }

  async #ask(search: string, before: Found, from: Place): Promise<void> {
    this.#asking?.abort();
    const asking = new AbortController();
    this.#asking = asking;
    this.failure.value = null;
    try {
      let place: Place | null = from;
      let found = before;
      // When few of those that are kept have it, those that are put away are shown, too.
      do {
        const { archived, cursor } = place as Place;
        const page: ThreadsPage = await loadThreads(this.#fetch, { archived, cursor, search, signal: asking.signal });
        if (asking.signal.aborted) return;
        found = {
          kept: archived ? found.kept : [...found.kept, ...page.threads],
          archived: archived ? [...found.archived, ...page.threads] : found.archived,
          texts: { ...found.texts, ...Object.fromEntries(page.matches.map((match) => [match.thread_id, match.text])) },
          hasMore: page.next !== null,
        };
        place = page.next !== null ? { archived, cursor: page.next } : archived ? null : { archived: true, cursor: null };
      } while (place && place.cursor === null);
      this.#show(search, found, place);
    } catch (error) {
      if (!asking.signal.aborted) this.failure.value = error as RestError;
    } finally {
      if (this.#asking === asking) this.#asking = null;
    }
  }

  #show(search: string | null, found: Found, next: Place | null): void {
    this.#next = next;
    this.found.value = found;
    this.answered.value = search;
  }
}

/** The text in pieces: those that are what is looked for, and those between. Pure. */
export function marked(text: string, search: string): readonly { readonly text: string; readonly hit: boolean }[] {
  if (search === "") return [{ text, hit: false }];
  const escaped = search.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return text
    .split(new RegExp(`(${escaped})`, "giu"))
    .map((piece, place) => ({ text: piece, hit: place % 2 === 1 }))
    .filter((piece) => piece.text !== "");
}
