import assert from "node:assert/strict";
import { test } from "node:test";
import * as draftFiles from "../src/chat/draft_files";
import { LONG_TEXT, pasteOf } from "../src/chat/pasting";
import { fullness, obstacle } from "../src/chat/sending";
import { beginning } from "../src/chat/text_file";
import { sends } from "../src/keys/enter";
import type { WireAttachment } from "../src/protocol/frames";
import { enqueued, frameBytes, restored, stored } from "../src/protocol/outbox";
import { failureSentence } from "../src/view/wording";

const LIMITS = { max_message_bytes: 1000, max_attachments: 3, max_attachment_bytes: 100 };
const attachment = (id: string): WireAttachment => ({ id, name: `${id}.txt`, media_type: "text/plain", bytes: 5, href: `/api/attachments/${id}` });
const offer = (key: string, given: Partial<draftFiles.OfferedFile> = {}): draftFiles.OfferedFile => ({
  key,
  name: `${key}.txt`,
  bytes: 5,
  mediaType: "text/plain",
  isFolder: false,
  ...given,
});
const codes = (files: draftFiles.DraftFiles): (string | null)[] => files.map((file) => file.failure?.code ?? null);

test("each of the offered files is taken or refused by itself", () => {
  const wanted = [offer("a"), offer("b", { bytes: 101 }), offer("c", { bytes: 0 }), offer("d", { isFolder: true }), offer("e"), offer("f"), offer("g")];
  const files = draftFiles.offered([], wanted, LIMITS);
  assert.deepEqual(codes(files), [null, "ATTACHMENT_TOO_LARGE", "FILE_EMPTY", "IS_FOLDER", null, null, "TOO_MANY_ATTACHMENTS"]);
  assert.deepEqual(files.map(({ state }) => state), ["waiting", "failed", "failed", "failed", "waiting", "waiting", "failed"]);
  // What was refused takes no place; what may still arrive does.
  const rest = draftFiles.without(files, "a");
  assert.deepEqual(codes(draftFiles.offered(rest, [offer("h"), offer("i")], LIMITS)).slice(-2), [null, "TOO_MANY_ATTACHMENTS"]);
  const failed = draftFiles.changed(rest, "e", { state: "failed", failure: draftFiles.failureOf("UNREACHABLE", { passing: true }) });
  assert.deepEqual(codes(draftFiles.offered(failed, [offer("h"), offer("i")], LIMITS)).slice(-2), [null, "TOO_MANY_ATTACHMENTS"]);
  // Before the server has told its limits, it decides.
  assert.deepEqual(codes(draftFiles.offered([], wanted, null)), [null, null, "FILE_EMPTY", "IS_FOLDER", null, null, null]);
});

test("what is on its way is waited for, what is missing stands in the way, and what was refused does not", () => {
  const [waiting] = draftFiles.offered([], [offer("a")], LIMITS);
  const there = draftFiles.takenBack([attachment("x")]);
  assert.ok(waiting);
  const failed = (code: string, passing = false): draftFiles.DraftFile => ({ ...waiting, state: "failed", failure: draftFiles.failureOf(code, { passing }) });
  assert.equal(draftFiles.standing(there), "ready");
  assert.equal(draftFiles.standing([...there, waiting]), "busy");
  assert.equal(draftFiles.standing([...there, failed("ATTACHMENT_TYPE_NOT_SUPPORTED")]), "ready");
  for (const lost of [failed("UNREACHABLE", true), failed("ATTACHMENT_NOT_FOUND"), failed("UPLOAD_INTERRUPTED")]) assert.equal(draftFiles.standing([...there, lost]), "stuck");
  assert.deepEqual(draftFiles.attachmentsOf([...there, failed("FILE_EMPTY"), waiting]), [attachment("x")]);
});

test("ids survive a reload, and what was on its way is named", () => {
  const files = [
    ...draftFiles.takenBack([attachment("x")]),
    ...draftFiles.offered([], [offer("a"), offer("b", { bytes: 0 }), offer("c", { isFolder: true })], LIMITS),
  ];
  const text = JSON.stringify(draftFiles.stored(files));
  const again = draftFiles.restored(JSON.parse(text), () => "fresh");
  assert.deepEqual(again.map(({ key, name, state }) => [key, name, state]), [["x", "x.txt", "there"], ["fresh", "a.txt", "failed"]]);
  assert.deepEqual(codes(again), [null, "UPLOAD_INTERRUPTED"]);
  assert.equal(JSON.stringify(draftFiles.stored(again)), text);
  const gone = draftFiles.changed(again, "x", { state: "failed", failure: draftFiles.failureOf("ATTACHMENT_NOT_FOUND") });
  assert.deepEqual(codes(draftFiles.restored(draftFiles.stored(gone), () => "f")), ["UPLOAD_INTERRUPTED", "UPLOAD_INTERRUPTED"]);
  for (const bad of [null, 3, {}, [null, 3, {}, { name: 3, bytes: 1 }, { id: "x" }]]) assert.deepEqual(draftFiles.restored(bad, () => "f"), []);
});

test("another tab's files are taken over, and those that this tab is sending stay", () => {
  const own = [...draftFiles.takenBack([attachment("x"), attachment("y")]), ...draftFiles.offered([], [offer("a")], null)];
  const theirs = draftFiles.restored([attachment("y"), attachment("z"), { name: "b", bytes: 1 }], () => "f");
  assert.deepEqual(draftFiles.joined(own, theirs).map((file) => file.key), ["y", "z", "a"]);
});

test("a name is shown as one line without path, control and bidi characters", () => {
  const names = ["a/b\\c.txt", "an\u202etxt.exe", "a\tb\u0000\nc\u200b.txt", " \u202e ", "\u05d0\u05d1.txt", "a\u200db.txt"];
  assert.deepEqual(names.map(draftFiles.shownName), ["c.txt", "antxt.exe", "a b c.txt", "file", "\u05d0\u05d1.txt", "a\u200db.txt"]);
});

test("a long name is cut in the middle, between whole letters", () => {
  assert.equal(draftFiles.cut("notes.txt", 24), "notes.txt");
  assert.equal(draftFiles.cut("server-2026-11-29-production.log", 15), "server-…ion.log");
  const family = "👨‍👩‍👧".repeat(10);
  assert.equal(draftFiles.cut(family, 5), `${"👨‍👩‍👧".repeat(2)}…${"👨‍👩‍👧".repeat(2)}`);
});

test("a paste is what was meant by it", () => {
  const paste = (given: Partial<Parameters<typeof pasteOf>[0]>, room = 50_000): string => pasteOf({ text: "", hasHtml: false, files: 0, ...given }, room);
  assert.equal(paste({ text: "words" }), "text");
  assert.equal(paste({ files: 2 }), "files");
  assert.equal(paste({ files: 1, hasHtml: true }), "files");
  assert.equal(paste({ files: 1, text: "notes.txt" }), "files");
  assert.equal(paste({ files: 1, text: "1\t2", hasHtml: true }), "text");
  assert.equal(paste({ text: "x".repeat(LONG_TEXT - 1) }), "text");
  assert.equal(paste({ text: "x".repeat(LONG_TEXT) }), "file of text");
  assert.equal(paste({ text: "x".repeat(200) }, 199), "file of text");
});

test("Enter sends, except where it begins a line or ends a composition", () => {
  const press = (given: Partial<Parameters<typeof sends>[0]>, touch = false): boolean =>
    sends({ key: "Enter", keyCode: 13, shiftKey: false, altKey: false, ctrlKey: false, metaKey: false, isComposing: false, ...given }, touch);
  assert.equal(press({}), true);
  assert.equal(press({}, true), false);
  for (const given of [{ shiftKey: true }, { altKey: true }, { isComposing: true }, { keyCode: 229 }, { key: "a" }]) assert.equal(press(given), false);
  for (const given of [{ ctrlKey: true }, { metaKey: true }]) for (const touch of [true, false]) assert.equal(press(given, touch), true);
  assert.equal(press({ ctrlKey: true, isComposing: true }), false);
});

const written = (text: string, ...ids: string[]) => ({ text, files: draftFiles.takenBack(ids.map(attachment)) });
const AGENT = "assistant";

test("a message is as long as its frame, files and escapes included", () => {
  const limits = { max_message_bytes: 1000 };
  const id = "0".repeat(36);
  const frame = (content: string, files: readonly WireAttachment[] = []): number =>
    frameBytes({ messageId: id, conversation: id, threadId: id, content, agent: AGENT, attachments: files });
  const room = 1000 - frame("");
  assert.equal(obstacle(written("x".repeat(room)), AGENT, limits), null);
  assert.equal(obstacle(written("x".repeat(room + 1)), AGENT, limits), "too long");
  assert.equal(obstacle(written("ä".repeat(room / 2 + 1)), AGENT, limits), "too long");
  assert.equal(obstacle(written(`.${"\n".repeat(room / 2)}.`), AGENT, limits), "too long");
  assert.equal(obstacle(written(" ".repeat(2000) + "x"), AGENT, limits), null);
  const files = ["a".repeat(36), "b".repeat(36)];
  const left = 1000 - frame("", files.map(attachment));
  assert.ok(left < room - 72);
  assert.equal(obstacle(written("x".repeat(left), ...files), AGENT, limits), null);
  assert.equal(obstacle(written("x".repeat(left + 1), ...files), AGENT, limits), "too long");
  assert.equal(obstacle(written("x".repeat(99_999)), AGENT, null), null);
});

test("how full a message is is told once that matters", () => {
  const limits = { max_message_bytes: 10_000 };
  assert.equal(fullness(written("x".repeat(100)), AGENT, limits), 0);
  assert.equal(fullness(written("x".repeat(7000)), AGENT, limits), 0);
  const share = fullness(written("x".repeat(9000)), AGENT, limits);
  assert.ok(share > 0.9 && share < 1, String(share));
  assert.ok(fullness(written("x".repeat(20_000)), AGENT, limits) > 2);
});

test("something must be written, and files come first in what stands in the way", () => {
  const [waiting] = draftFiles.offered([], [offer("a")], null);
  assert.ok(waiting);
  assert.equal(obstacle(written("  \n"), AGENT, LIMITS), "nothing written");
  assert.equal(obstacle(written("", "x"), AGENT, LIMITS), "nothing written");
  assert.equal(obstacle({ text: "", files: [waiting] }, AGENT, LIMITS), "files on their way");
});

test("a message with files keeps them in the outbox over a reload, and names them by id", () => {
  const message = { messageId: "m", conversation: "t", threadId: "t", content: "x", agent: null, attachments: [attachment("a"), attachment("b")] };
  const again = restored(stored(enqueued([], message)));
  assert.deepEqual(again[0]?.attachments, message.attachments);
  assert.equal(frameBytes(message), JSON.stringify({ type: "user_message", ref: "m", message_id: "m", content: "x", thread_id: "t", attachments: ["a", "b"] }).length);
});

test("text is read as the server takes it, a long one to its beginning", async () => {
  assert.deepEqual(await beginning(new Blob(["wörld"])), { text: "wörld", bytes: 6 });
  const utf16 = new Uint8Array([0xff, 0xfe, 0x77, 0x00, 0xf6, 0x00]);
  assert.equal((await beginning(new Blob([utf16]))).text, "wö");
  assert.equal((await beginning(new Blob([new Uint8Array([0xfe, 0xff, 0x00, 0x77])]))).text, "w");
  assert.deepEqual(await beginning(new Blob(["aaö"]), 3), { text: "aa", bytes: 3 });
});

test("a refusal names the limit that the server has told", () => {
  const said = (code: string, retryAfter: number | null = null): string => failureSentence(draftFiles.failureOf(code, { retryAfter }), LIMITS);
  assert.equal(said("TOO_MANY_ATTACHMENTS"), "A message has at most 3 files.");
  assert.equal(said("RATE_LIMITED", 1.2), "You are sending files faster than the server allows. It goes on in 2 seconds.");
  assert.equal(failureSentence(draftFiles.failureOf("ATTACHMENT_TOO_LARGE"), null), "The file is too large.");
  assert.equal(failureSentence(draftFiles.failureOf("NEW_CODE", { message: "no" }), LIMITS), "No.");
});
