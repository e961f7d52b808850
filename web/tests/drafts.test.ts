import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { afterEach, beforeEach, test } from "node:test";
import { Drafts } from "../src/chat/drafts";
import { takenBack } from "../src/chat/draft_files";
import { forgetPerson } from "../src/chat/storage";
import type { WireAttachment } from "../src/protocol/frames";
import { enqueued, type Outbox } from "../src/protocol/outbox";
import { emptyNotes, type Kept } from "./kept";

const DAY_MS = 86_400_000;
const attachment = (id: string): WireAttachment => ({ id, name: `${id}.txt`, media_type: "text/plain", bytes: 5, href: `/api/attachments/${id}` });

let local: Kept;
let restore: () => void;
let now = 0;
const drafts = (userId = "1"): Drafts => new Drafts(userId, () => now);
const keys = (): string[] => Object.keys(local).sort();

beforeEach(() => {
  // Node 18 has no global of this name.
  globalThis.crypto ??= webcrypto as Crypto;
  now = 1_000_000;
  ({ local, restore } = emptyNotes());
});
afterEach(() => restore());

test("a draft is the same object while the page lives, and has text and files after a reload", () => {
  const here = drafts();
  const draft = here.of("t");
  draft.type("words");
  draft.change(() => takenBack([attachment("a")]));
  assert.equal(here.of("t"), draft);
  assert.equal(here.of(null).text.value, "");
  const again = drafts().of("t");
  assert.equal(again.text.value, "words");
  assert.deepEqual(again.files.value.map((file) => file.attachment), [attachment("a")]);
  again.clear();
  assert.deepEqual(keys(), []);
});

test("the draft of a new conversation goes with it when it becomes a thread", () => {
  const here = drafts();
  const draft = here.of(null);
  draft.type("meanwhile");
  here.begun(draft, "t");
  draft.type("meanwhile more");
  assert.deepEqual(keys(), ["netra.draft.1.t"]);
  assert.equal(here.of(null).text.value, "");
  assert.equal(drafts().of("t").text.value, "meanwhile more");
  // Not twice: it is a thread's.
  here.begun(draft, "u");
  assert.deepEqual(keys(), ["netra.draft.1.t"]);
});

test("people do not see each other's, and who deletes the account leaves nothing", () => {
  const [ann, bob] = [drafts("1"), drafts("11")];
  ann.of("t").type("ann's");
  bob.of("t").type("bob's");
  forgetPerson("1");
  assert.deepEqual(keys(), ["netra.draft.11.t"]);
  assert.equal(drafts("1").of("t").text.value, "");
});

test("what was not sent is a draft after signing out, with its files and before what is being written", () => {
  const message = (messageId: string, threadId: string | null, ...files: WireAttachment[]) => ({
    messageId,
    conversation: threadId ?? "new:1",
    threadId,
    content: messageId,
    agent: null,
    attachments: files,
  });
  const unsent: Outbox = [message("first", "t", attachment("a")), message("second", "t", attachment("b")), message("new", null)].reduce(enqueued, [] as Outbox);
  const here = drafts();
  here.of("t").type("third");
  here.takeBack(unsent);
  const again = drafts();
  assert.equal(again.of("t").text.value, "first\n\nsecond\n\nthird");
  assert.deepEqual(again.of("t").files.value.map((file) => file.attachment?.id), ["a", "b"]);
  assert.equal(again.of(null).text.value, "new");
});

test("drafts go after a month, those of a deleted thread after an hour unless it is restored", () => {
  const here = drafts();
  for (const id of ["a", "deleted", "restored"]) here.of(id).type(id);
  here.deleted("deleted");
  here.deleted("restored");
  here.deleted("unknown");
  here.restored("restored");
  now += 3_700_000;
  drafts("2");
  assert.deepEqual(keys(), ["netra.draft.1.a", "netra.draft.1.restored"]);
  now += 29 * DAY_MS;
  drafts("2");
  assert.equal(keys().length, 2);
  now += 2 * DAY_MS;
  drafts("2");
  assert.deepEqual(keys(), []);
});

test("a draft of a deleted thread that is open in this page is not kept longer by that", () => {
  const here = drafts();
  here.of("t").type("words");
  here.deleted("t");
  here.of("t");
  now += 3_700_000;
  drafts();
  assert.deepEqual(keys(), []);
});

test("a hundred are kept of each person, the newest", () => {
  const here = drafts();
  for (let number = 0; number < 120; number += 1) {
    now += 1;
    here.of(String(number)).type("x");
  }
  drafts("2").of("t").type("x");
  drafts();
  const own = keys().filter((key) => key.startsWith("netra.draft.1."));
  assert.equal(own.length, 100);
  assert.ok(!own.includes("netra.draft.1.19") && own.includes("netra.draft.1.20"));
  assert.ok(keys().includes("netra.draft.2.t"));
});

test("where the room is used up the oldest make some, and where there is none nothing fails", () => {
  const here = drafts();
  for (const id of ["a", "b", "c"]) {
    now += 1;
    here.of(id).type("x".repeat(100));
  }
  local.setItem = function (this: Kept, key: string, text: string): void {
    const used = Object.entries(this).reduce((sum, [name, value]) => sum + (name === key || typeof value !== "string" ? 0 : value.length), 0);
    if (used + text.length > 500) throw new Error("QuotaExceededError");
    this[key] = text;
  };
  here.of("d").type("y".repeat(200));
  assert.deepEqual(keys().filter((key) => key !== "setItem"), ["netra.draft.1.c", "netra.draft.1.d"]);
  here.of("e").type("z".repeat(900));
  assert.equal(here.of("e").text.value.length, 900);
});

test("another tab's text is taken over unless somebody is writing here, its files always", () => {
  const here = drafts();
  const draft = here.of("t");
  const there = drafts();
  there.of("t").type("theirs");
  there.of("t").change(() => takenBack([attachment("a")]));
  const event = { key: "netra.draft.1.t", newValue: local.getItem("netra.draft.1.t") };
  draft.type("mine");
  here.stored(event, draft);
  assert.equal(draft.text.value, "mine");
  assert.equal(draft.files.value.length, 1);
  draft.left();
  assert.equal(draft.text.value, "theirs");
  here.stored(event, draft);
  draft.type("mine again");
  draft.left();
  assert.equal(draft.text.value, "mine again");
  here.stored(event, null);
  assert.equal(draft.text.value, "theirs");
  here.stored({ key: "netra.draft.1.t", newValue: null }, null);
  assert.deepEqual([draft.text.value, draft.files.value], ["", []]);
  here.stored({ key: "netra.draft.2.t", newValue: "x" }, null);
  here.stored({ key: null, newValue: null }, null);
});

test("a draft that an earlier version kept is read, also one that looks like something else", () => {
  for (const text of ["plain words", "{}", '{"text": 3}', "[1]", "null"]) {
    local.setItem("netra.draft.1.t", text);
    assert.equal(drafts().of("t").text.value, text);
  }
});
