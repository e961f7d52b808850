// A list of the server's, a page after the other.
import { signal } from "@preact/signals";
import { RestError } from "../session/rest";

export interface Page<Row> {
  readonly rows: readonly Row[];
  readonly next: string | null;
}

export class PagedList<Row> {
  readonly rows = signal<readonly Row[]>([]);
  readonly loaded = signal(false);
  readonly loading = signal(false);
  readonly failure = signal<RestError | null>(null);
  readonly hasMore = signal(true);

  #load: (cursor: string | null) => Promise<Page<Row>>;
  #cursor: string | null = null;
  /** A page that was asked for before the list was emptied comes too late. */
  #asks = 0;

  constructor(load: (cursor: string | null) => Promise<Page<Row>>) {
    this.#load = load;
  }

  /** The first page, or the next one. */
  async more(): Promise<void> {
    if (this.loading.peek() || !this.hasMore.peek()) return;
    this.loading.value = true;
    this.failure.value = null;
    const ask = ++this.#asks;
    try {
      const { rows, next } = await this.#load(this.#cursor);
      if (ask !== this.#asks) return;
      this.#cursor = next;
      this.rows.value = [...this.rows.value, ...rows];
      this.hasMore.value = next !== null;
      this.loaded.value = true;
    } catch (error) {
      if (!(error instanceof RestError)) throw error;
      this.failure.value = error;
    } finally {
      this.loading.value = false;
    }
  }

  /** One row is gone: by `remove`, or already, which `remove` is told by this code. Rejects with RestError otherwise. */
  protected async without(row: Row, gone: string, remove: () => Promise<void>): Promise<void> {
    try {
      await remove();
    } catch (error) {
      if (!(error instanceof RestError) || error.code !== gone) throw error;
    }
    this.rows.value = this.rows.value.filter((each) => each !== row);
    if (this.rows.value.length === 0) await this.more();
  }

  protected empty(): void {
    this.#asks += 1;
    this.rows.value = [];
    this.hasMore.value = false;
  }
}
