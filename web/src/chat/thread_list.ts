// The person's threads, newest activity first: those that are put away, or the others. Kept right by notices and read
// again when one was missed.
import { computed, type ReadonlySignal, signal } from "@preact/signals";
import type { ThreadNotice, ThreadSummary } from "../protocol/frames";
import { type Fetch, loadThreads, type ThreadsPage, type ThreadsWanted } from "./rest";
import { untilLoaded } from "./retrying";

const LARGE_PAGE = 200;

export function ordered(threads: readonly ThreadSummary[]): ThreadSummary[] {
  return [...threads].sort((a, b) => (a.updated_at < b.updated_at ? 1 : a.updated_at > b.updated_at ? -1 : a.id < b.id ? 1 : -1));
}

/** The list after a notice. What lies beyond the last page that was loaded stays out. */
export function noticed(threads: readonly ThreadSummary[], notice: ThreadNotice, hasMore: boolean, archived = false): ThreadSummary[] {
  const { thread } = notice;
  const rest = threads.filter((each) => each.id !== thread.id);
  const oldest = threads.at(-1)?.updated_at ?? "";
  const isBeyond = hasMore && rest.length === threads.length && thread.updated_at < oldest;
  const isElsewhere = notice.type === "thread_deleted" || (thread.archived ?? false) !== archived;
  return isElsewhere || isBeyond ? rest : ordered([...rest, thread]);
}

/** Threads read over REST, as they were at this version of the list. */
export type ListRead = (version: number, threads: readonly ThreadSummary[]) => void;

export class ThreadList {
  /** What is shown of it: without those that are being deleted. */
  readonly threads: ReadonlySignal<readonly ThreadSummary[]>;
  readonly loaded = signal(false);
  readonly hasMore = signal(false);

  #all = signal<readonly ThreadSummary[]>([]);
  #hidden = signal<ReadonlySet<string>>(new Set());
  #archived: boolean;
  #fetch: Fetch;
  #read: ListRead;
  #next: string | null = null;
  #reloading: Promise<void> | null = null;
  #extending = false;
  #inView = 0;
  #live = true;

  constructor(fetch: Fetch, read: ListRead, archived = false) {
    this.#fetch = fetch;
    this.#read = read;
    this.#archived = archived;
    this.threads = computed(() => {
      const hidden = this.#hidden.value;
      return hidden.size === 0 ? this.#all.value : this.#all.value.filter((thread) => !hidden.has(thread.id));
    });
  }

  close(): void {
    this.#live = false;
  }

  apply(notice: ThreadNotice): void {
    if (this.loaded.value) this.#all.value = noticed(this.#all.value, notice, this.hasMore.value, this.#archived);
  }

  /** What the person did to a thread here, shown before the server's notice comes. */
  put(thread: ThreadSummary): void {
    this.apply({ type: "thread_updated", thread, threads_version: 0 });
  }

  hide(threadId: string, hidden: boolean): void {
    const rest = [...this.#hidden.value].filter((id) => id !== threadId);
    this.#hidden.value = new Set(hidden ? [...rest, threadId] : rest);
  }

  drop(threadId: string): void {
    this.#all.value = this.#all.value.filter((thread) => thread.id !== threadId);
  }

  /** As many as this are in view, or were: a list that is read again reaches as far. */
  inView(count: number): void {
    this.#inView = count;
  }

  /** One reading at a time. */
  reload(): Promise<void> {
    this.#reloading ??= this.#readAgain().finally(() => {
      this.#reloading = null;
    });
    return this.#reloading;
  }

  async #readAgain(): Promise<void> {
    const found: ThreadSummary[] = [];
    let version: number | null = null;
    let cursor: string | null = null;
    do {
      const wanted: ThreadsWanted = { archived: this.#archived, cursor, ...(this.#inView > found.length ? { limit: this.#pageFor(found.length) } : {}) };
      const page: ThreadsPage | null = await untilLoaded(() => loadThreads(this.#fetch, wanted), () => this.#live);
      if (!page) return;
      version ??= page.threads_version;
      found.push(...page.threads);
      cursor = page.next;
    } while (cursor !== null && found.length < this.#inView);
    this.#show(found, cursor);
    this.loaded.value = true;
    this.#read(version, found);
  }

  #pageFor(read: number): number {
    return Math.min(LARGE_PAGE, Math.max(50, this.#inView - read));
  }

  async more(): Promise<void> {
    if (this.#next === null || this.#extending || this.#reloading) return;
    this.#extending = true;
    try {
      const wanted = { archived: this.#archived, cursor: this.#next, limit: LARGE_PAGE };
      const page = await untilLoaded(() => loadThreads(this.#fetch, wanted), () => this.#live && this.#next === wanted.cursor);
      // Read anew meanwhile, it may end elsewhere.
      if (page && this.#next === wanted.cursor) this.#show([...this.#all.value, ...page.threads], page.next);
    } finally {
      this.#extending = false;
    }
  }

  #show(threads: readonly ThreadSummary[], next: string | null): void {
    this.#next = next;
    this.hasMore.value = next !== null;
    this.#all.value = ordered([...new Map(threads.map((thread) => [thread.id, thread])).values()]);
  }
}
