// The person's threads, newest activity first, kept right by notices and read again when one was missed.
import { signal } from "@preact/signals";
import type { ThreadNotice, ThreadSummary } from "../protocol/frames";
import { type Fetch, loadThreads, type ThreadsPage } from "./rest";
import { untilLoaded } from "./retrying";

export function ordered(threads: readonly ThreadSummary[]): ThreadSummary[] {
  return [...threads].sort((a, b) => (a.updated_at < b.updated_at ? 1 : a.updated_at > b.updated_at ? -1 : a.id < b.id ? 1 : -1));
}

/** The list after a notice. What lies beyond the last page that was loaded stays out. */
export function noticed(threads: readonly ThreadSummary[], notice: ThreadNotice, hasMore: boolean): ThreadSummary[] {
  const rest = threads.filter((thread) => thread.id !== notice.thread.id);
  const oldest = threads.at(-1)?.updated_at ?? "";
  const isBeyond = hasMore && rest.length === threads.length && notice.thread.updated_at < oldest;
  return notice.type === "thread_deleted" || isBeyond ? rest : ordered([...rest, notice.thread]);
}

export class ThreadList {
  readonly threads = signal<readonly ThreadSummary[]>([]);
  readonly loaded = signal(false);
  readonly hasMore = signal(false);

  #fetch: Fetch;
  #loadedAt: (version: number) => void;
  #next: string | null = null;
  #reloading: Promise<void> | null = null;
  #extending = false;
  #live = true;

  /** `loadedAt` is told the version of the list whenever it has been read. */
  constructor(fetch: Fetch, loadedAt: (version: number) => void) {
    this.#fetch = fetch;
    this.#loadedAt = loadedAt;
  }

  close(): void {
    this.#live = false;
  }

  apply(notice: ThreadNotice): void {
    this.threads.value = noticed(this.threads.value, notice, this.hasMore.value);
  }

  /** Read as many threads again as there were. One reading at a time. */
  reload(): Promise<void> {
    this.#reloading ??= this.#readAgain().finally(() => {
      this.#reloading = null;
    });
    return this.#reloading;
  }

  async #readAgain(): Promise<void> {
    const wanted = Math.max(this.threads.value.length, 1);
    const found: ThreadSummary[] = [];
    let version: number | null = null;
    let cursor: string | null = null;
    do {
      const page: ThreadsPage | null = await untilLoaded(() => loadThreads(this.#fetch, cursor), () => this.#live);
      if (!page) return;
      version ??= page.threads_version;
      found.push(...page.threads);
      cursor = page.next;
    } while (cursor !== null && found.length < wanted);
    this.#show(found, cursor);
    this.loaded.value = true;
    this.#loadedAt(version);
  }

  async more(): Promise<void> {
    if (this.#next === null || this.#extending || this.#reloading) return;
    this.#extending = true;
    try {
      const page = await loadThreads(this.#fetch, this.#next);
      this.#show([...this.threads.value, ...page.threads], page.next);
    } finally {
      this.#extending = false;
    }
  }

  #show(threads: readonly ThreadSummary[], next: string | null): void {
    this.#next = next;
    this.hasMore.value = next !== null;
    this.threads.value = ordered([...new Map(threads.map((thread) => [thread.id, thread])).values()]);
  }
}
