import assert from "node:assert/strict";
import { test } from "node:test";
import { downloaded, nameIn } from "../src/chat/download";
import { isWhole } from "../src/settings/archive";

const named = (disposition: string): Headers => new Headers({ "Content-Disposition": disposition });
const never = new AbortController().signal;

function streamed(pieces: readonly Uint8Array<ArrayBuffer>[], { fails = false } = {}): Response {
  const left = [...pieces];
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      const piece = left.shift();
      if (piece) controller.enqueue(piece);
      else if (fails) controller.error(new TypeError("gone"));
      else controller.close();
    },
  });
  return new Response(body, { headers: { "Content-Disposition": 'attachment; filename="netra.zip"', "Content-Type": "application/zip" } });
}

test("a file is put together from all its pieces, and says how much of it has come", async () => {
  const pieces = Array.from({ length: 12 }, (_, number) => new Uint8Array(1_000_000).fill(number));
  const came: number[] = [];
  const file = await downloaded(async () => streamed(pieces), "/api/me/export", { signal: never, came: (bytes) => came.push(bytes) });
  assert.deepEqual([file.name, file.content.size, file.content.type], ["netra.zip", 12_000_000, "application/zip"]);
  const bytes = new Uint8Array(await file.content.arrayBuffer());
  assert.ok(pieces.every((_, number) => bytes[number * 1_000_000] === number && bytes[number * 1_000_000 + 999_999] === number));
  assert.deepEqual(came, pieces.map((_, number) => (number + 1) * 1_000_000));
});

test("a file that breaks off is no file", async () => {
  await assert.rejects(downloaded(async () => streamed([new Uint8Array(9)], { fails: true }), "/x", { signal: never }), { code: "BROKEN_OFF" });
});

test("who stops it is told nothing", async () => {
  const stop = new AbortController();
  const endless = async (): Promise<Response> => new Response(new ReadableStream({ pull: (controller) => (stop.abort(), controller.error(new Error("aborted"))) }));
  await assert.rejects(downloaded(endless, "/x", { signal: stop.signal }), { code: "ABORTED" });
});

test("a name is the server's, and never a path", () => {
  assert.equal(nameIn(named('attachment; filename="My-thread.md"')), "My-thread.md");
  for (const bad of ["attachment", 'attachment; filename="../x"', 'attachment; filename="a\\b"', 'attachment; filename=""']) assert.equal(nameIn(named(bad)), null);
});

test("an archive without its end is not whole", async () => {
  const end = [0x50, 0x4b, 5, 6, ...Array<number>(18).fill(0)];
  const blob = (...bytes: number[]): Blob => new Blob([new Uint8Array(bytes)]);
  assert.ok(await isWhole(blob(...end)));
  assert.ok(await isWhole(blob(1, 2, 3, ...end)));
  for (const broken of [blob(), blob(...end.slice(0, 21)), blob(...end, 0), blob(0x50, 0x4b, 3, 4, ...Array<number>(40).fill(7))]) assert.ok(!(await isWhole(broken)));
});
