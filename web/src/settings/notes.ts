// The notes that agents keep for the person, a page after the other.
import { signal } from "@preact/signals";
import type { Fetch } from "../chat/rest";
import { RestError } from "../session/rest";
import { forgetNote, forgetNotes, loadNotes, type Note } from "./rest";

export class Notes {
  readonly notes = signal<readonly Note[]>([]);
  readonly loaded = signal(false);
  readonly loading = signal(false);
  readonly failure = signal<RestError | null>(null);
  readonly hasMore = signal(true);

  #fetch: Fetch;
  #cursor: string | null = null;
  /** A page that was asked for before everything was forgotten comes too late. */
  #asks = 0;

  constructor(fetch: Fetch) {
    this.#fetch = fetch;
  }

  /** The first page, or the next one. */
  async more(): Promise<void> {
    if (this.loading.peek() || !this.hasMore.peek()) return;
    this.loading.value = true;
    this.failure.value = null;
    const ask = ++this.#asks;
    try {
      const { notes, next } = await loadNotes(this.#fetch, this.#cursor);
      if (ask !== this.#asks) return;
      this.#cursor = next;
      this.notes.value = [...this.notes.value, ...notes];
      this.hasMore.value = next !== null;
      this.loaded.value = true;
    } catch (error) {
      if (!(error instanceof RestError)) throw error;
      this.failure.value = error;
    } finally {
      this.loading.value = false;
    }
  }

  /** Rejects with RestError. A note that is gone already is forgotten, too. */
  async forget(id: number): Promise<void> {
    try {
      await forgetNote(this.#fetch, id);
    } catch (error) {
      if (!(error instanceof RestError) || error.code !== "NOTE_NOT_FOUND") throw error;
    }
    this.notes.value = this.notes.value.filter((note) => note.id !== id);
    if (this.notes.value.length === 0) await this.more();
  }

  async forgetAll(): Promise<void> {
    await forgetNotes(this.#fetch);
    this.#asks += 1;
    this.notes.value = [];
    this.hasMore.value = false;
  }
}
