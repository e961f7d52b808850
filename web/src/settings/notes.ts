// The notes that agents keep for the person.
import type { Fetch } from "../chat/rest";
import { PagedList } from "./paged";
import { forgetNote, forgetNotes, loadNotes, type Note } from "./rest";

export class Notes extends PagedList<Note> {
  #fetch: Fetch;

  constructor(fetch: Fetch) {
    super((cursor) => loadNotes(fetch, cursor));
    this.#fetch = fetch;
  }

  /** Rejects with RestError. A note that is gone already is forgotten, too. */
  async forget(note: Note): Promise<void> {
    await this.without(note, "NOTE_NOT_FOUND", () => forgetNote(this.#fetch, note.id));
  }

  async forgetAll(): Promise<void> {
    await forgetNotes(this.#fetch);
    this.empty();
  }
}
