// Files on their way to a server of the test's own.
import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { test } from "node:test";
import { Attachments } from "../src/chat/attachments";
import { Draft } from "../src/chat/drafts";
import { type SentFile, withToken } from "../src/chat/file_transfer";
import type { WireAttachment } from "../src/protocol/frames";
import { RestError } from "../src/session/rest";
import { FakeClock, settle } from "./fake_clock";

globalThis.crypto ??= webcrypto as Crypto;

interface Sent extends SentFile {
  readonly arrive: (given?: Partial<WireAttachment>) => Promise<void>;
  readonly fail: (error: RestError) => Promise<void>;
}

interface World {
  readonly clock: FakeClock;
  readonly draft: Draft;
  readonly attachments: Attachments;
  readonly sent: Sent[];
  readonly deleted: string[];
  readonly drawn: Blob[];
}

function world(): World {
  const clock = new FakeClock();
  const sent: Sent[] = [];
  const deleted: string[] = [];
  const drawn: Blob[] = [];
  const attachments = new Attachments({
    fetch: async ({ method, path }) => void deleted.push(`${method} ${path}`),
    token: async () => "token",
    clock,
    limits: () => null,
    send: (wanted) =>
      new Promise((resolve, reject) => {
        const name = wanted.name;
        const wire = { id: `id of ${name}`, name, media_type: wanted.file.type, bytes: wanted.file.size, href: `/api/attachments/${name}` };
        wanted.signal.addEventListener("abort", () => reject(new RestError("ABORTED", "", -1)));
        sent.push({ ...wanted, arrive: (given = {}) => (resolve({ ...wire, ...given }), settle()), fail: (error) => (reject(error), settle()) });
      }),
    draw: async (image) => (drawn.push(image), "data:image/webp;base64,"),
  });
  return { clock, draft: new Draft({ text: "", files: [] }, () => {}), attachments, sent, deleted, drawn };
}

/** Node 18 has no File. */
const file = (name: string, type = "text/plain"): File => Object.assign(new Blob(["words"], { type }), { name }) as unknown as File;
const states = ({ draft }: World): string[] => draft.files.value.map(({ name, state, failure }) => `${name} ${failure?.code ?? state}`);
const unreachable = (): RestError => new RestError("UNREACHABLE", "", 0);

test("three are sent at once, the next when one has arrived, each under its own id", async () => {
  const all = world();
  all.attachments.add(all.draft, ["a", "b", "c", "d"].map((name) => file(name)));
  await settle();
  assert.deepEqual(states(all), ["a sending", "b sending", "c sending", "d waiting"]);
  all.sent[1]?.progress(0.5);
  assert.equal(all.draft.files.value[1]?.progress, 0.5);
  await all.sent[1]?.arrive();
  assert.deepEqual(states(all), ["a sending", "b there", "c sending", "d sending"]);
  assert.equal(all.draft.files.value[1]?.attachment?.id, "id of b");
});

test("one that fails takes none with it, and is sent again when the person or the next connection says so", async () => {
  const all = world();
  all.attachments.add(all.draft, [file("a"), file("b"), file("c")]);
  await settle();
  await all.sent[0]?.fail(unreachable());
  await all.sent[1]?.fail(new RestError("ATTACHMENT_TYPE_NOT_SUPPORTED", "", 415));
  await all.sent[2]?.arrive();
  assert.deepEqual(states(all), ["a UNREACHABLE", "b ATTACHMENT_TYPE_NOT_SUPPORTED", "c there"]);
  all.attachments.again(all.draft, String(all.draft.files.value[1]?.key));
  all.attachments.connected();
  all.attachments.connected();
  await settle();
  assert.equal(all.sent.length, 4);
  await all.sent[3]?.fail(unreachable());
  all.attachments.again(all.draft, String(all.draft.files.value[0]?.key));
  await settle();
  await all.sent[4]?.arrive();
  assert.deepEqual(states(all), ["a there", "b ATTACHMENT_TYPE_NOT_SUPPORTED", "c there"]);
});

test("one that was limited goes on by itself after the wait, unless it was taken out", async () => {
  const all = world();
  all.attachments.add(all.draft, [file("a"), file("b")]);
  await settle();
  for (const sent of [...all.sent]) await sent.fail(new RestError("RATE_LIMITED", "", 429, 3));
  const [, other] = all.draft.files.value;
  assert.ok(other);
  all.attachments.remove(all.draft, other);
  await all.clock.pass(2900);
  assert.deepEqual(states(all), ["a RATE_LIMITED"]);
  await all.clock.pass(200);
  assert.deepEqual(states(all), ["a sending"]);
});

test("one that is taken out is not sent further, and what the server has of it is taken back", async () => {
  const all = world();
  all.attachments.add(all.draft, ["a", "b", "c", "d"].map((name) => file(name)));
  await settle();
  await all.sent[0]?.arrive();
  for (const each of all.draft.files.value) all.attachments.remove(all.draft, each);
  await settle();
  assert.deepEqual(states(all), []);
  assert.equal(all.sent.length, 4, "d was about to be sent");
  assert.deepEqual(all.sent.map(({ signal }) => signal.aborted), [false, true, true, true]);
  assert.deepEqual(all.deleted, ["DELETE /api/attachments/a"]);
});

test("folders are named and not sent", async () => {
  const all = world();
  all.attachments.add(all.draft, [], ["photos"]);
  await settle();
  assert.deepEqual([states(all), all.sent.length], [["photos IS_FOLDER"], 0]);
});

test("a picture is drawn once, before it is sent, and known by both names", async () => {
  const all = world();
  const [key] = all.attachments.add(all.draft, [file("cat.png", "image/png"), file("drawing.svg", "image/svg+xml")]);
  await settle();
  await all.sent[0]?.arrive();
  const { previews } = all.attachments;
  assert.equal(previews.of("id of cat.png").value, "data:image/webp;base64,");
  assert.equal(previews.of(String(key)), previews.of("id of cat.png"));
  previews.want({ id: "id of cat.png", name: "", media_type: "", bytes: 0, href: "/" });
  await settle();
  assert.equal(all.drawn.length, 1);
});

test("a token that is refused is replaced once", async () => {
  const asked: boolean[] = [];
  const token = async (renew: boolean): Promise<string | null> => (asked.push(renew), renew ? "new" : "old");
  const refused = new RestError("TOKEN_EXPIRED", "", 401);
  const act = async (given: string): Promise<string> => {
    if (given === "old") throw refused;
    return given;
  };
  assert.equal(await withToken(token, act), "new");
  assert.deepEqual(asked, [false, true]);
  await assert.rejects(withToken(token, async () => Promise.reject(refused)), refused);
  await assert.rejects(withToken(async () => null, act), { code: "SIGNED_OUT" });
  await assert.rejects(withToken(token, async () => Promise.reject(unreachable())), { code: "UNREACHABLE" });
});
