import assert from "node:assert/strict";
import { test } from "node:test";
import { Notes } from "../src/settings/notes";
import type { Note } from "../src/settings/rest";
import { RestError, type RestRequest } from "../src/session/rest";

/** A server with notes by their numbers, two on a page. */
class Server {
  notes = [5, 4, 3, 2, 1];
  away = false;
  /** Resolves when the test lets a page go. */
  held: Promise<void> | null = null;

  readonly fetch = async ({ method, path }: Omit<RestRequest, "token">): Promise<unknown> => {
    if (this.away) throw new RestError("UNREACHABLE", "", 0);
    const address = new URL(path, "http://x");
    if (method === "GET") {
      const cursor = Number(address.searchParams.get("cursor") ?? Infinity);
      const [one, two, ...more] = this.notes.filter((id) => id < cursor);
      await this.held;
      const page = [one, two].filter((id) => id !== undefined);
      return { notes: page.map((id) => ({ id, content: `note ${id}`, agent: null, created_at: "" })), next: more.length > 0 ? String(two) : null };
    }
    const id = Number(address.pathname.split("/")[3]);
    if (Number.isNaN(id)) this.notes = [];
    else if (!this.notes.includes(id)) throw new RestError("NOTE_NOT_FOUND", "", 404);
    else this.notes = this.notes.filter((each) => each !== id);
    return undefined;
  };
}

const note = (notes: Notes, id: number): Note => notes.rows.value.find((each) => each.id === id) as Note;
const ids = (notes: Notes): number[] => notes.rows.value.map((note) => note.id);

test("pages follow each other, also when something is forgotten between them", async () => {
  const server = new Server();
  const notes = new Notes(server.fetch);
  await notes.more();
  await notes.forget(note(notes, 4));
  await notes.more();
  assert.deepEqual([ids(notes), notes.hasMore.value], [[5, 3, 2], true]);
  await notes.more();
  await notes.more();
  assert.deepEqual([ids(notes), notes.hasMore.value], [[5, 3, 2, 1], false]);
});

test("what another tab has forgotten is forgotten here, and an empty list reads on", async () => {
  const server = new Server();
  const notes = new Notes(server.fetch);
  await notes.more();
  server.notes = [4, 3, 2, 1];
  await notes.forget(note(notes, 5));
  await notes.forget(note(notes, 4));
  assert.deepEqual(ids(notes), [3, 2]);
});

test("what fails leaves the list as it was", async () => {
  const server = new Server();
  const notes = new Notes(server.fetch);
  await notes.more();
  server.away = true;
  await assert.rejects(notes.forget(note(notes, 5)), { code: "UNREACHABLE" });
  await assert.rejects(notes.forgetAll(), { code: "UNREACHABLE" });
  await notes.more();
  assert.deepEqual([ids(notes), notes.failure.value?.code, notes.hasMore.value], [[5, 4], "UNREACHABLE", true]);
  server.away = false;
  await notes.more();
  assert.deepEqual([ids(notes), notes.failure.value], [[5, 4, 3, 2], null]);
});

test("a page that was under way when everything was forgotten brings nothing back", async () => {
  const server = new Server();
  const notes = new Notes(server.fetch);
  await notes.more();
  let release = (): void => {};
  server.held = new Promise((resolve) => (release = resolve));
  const reading = notes.more();
  await notes.forgetAll();
  release();
  await reading;
  assert.deepEqual([ids(notes), notes.hasMore.value], [[], false]);
});
