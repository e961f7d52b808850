// The person's files on their way to the server, and what the page has of them: each is sent as soon as it is given.
import type { Clock } from "../protocol/clock";
import type { Limits, WireAttachment } from "../protocol/frames";
import { newMessageId } from "../protocol/identifier";
import { RestError } from "../session/rest";
import { attached, changed, type DraftFile, type FileFailure, failureOf, isImage, offered, without } from "./draft_files";
import type { Draft } from "./drafts";
import { lookForFile, readFile, type SendFile, withToken } from "./file_transfer";
import { Previews } from "./previews";
import type { Fetch } from "./rest";
import { isPassing } from "./retrying";

const AT_ONCE = 3;
/** How many files the page keeps that it has sent, so that they can be looked at without being read again. */
const KEPT = 20;

interface Outgoing {
  readonly file: File;
  readonly draft: Draft;
  readonly abort: AbortController;
}

export interface AttachmentParts {
  readonly fetch: Fetch;
  readonly token: (renew: boolean) => Promise<string | null>;
  readonly clock: Clock;
  readonly limits: () => Limits | null;
  readonly send: SendFile;
  /** A small picture of an image, as an address that an `img` may have. */
  readonly draw: (image: Blob) => Promise<string>;
}

export class Attachments {
  readonly previews: Previews;

  #parts: AttachmentParts;
  #outgoing = new Map<string, Outgoing>();
  #queue: string[] = [];
  #sending = 0;
  #sent = new Map<string, Blob>();
  #checked = new Set<string>();

  constructor(parts: AttachmentParts) {
    this.#parts = parts;
    this.previews = new Previews(parts.draw, (href) => this.#read(href));
  }

  /** Take the files into the draft, and send them. `folders` are named, and refused. */
  add(draft: Draft, files: readonly File[], folders: readonly string[] = []): readonly string[] {
    const keyed = files.map((file) => [newMessageId(), file] as const);
    const wanted = [
      ...keyed.map(([key, { name, size, type }]) => ({ key, name, bytes: size, mediaType: type, isFolder: false })),
      ...folders.map((name) => ({ key: newMessageId(), name, bytes: 0, mediaType: "", isFolder: true })),
    ];
    draft.change((before) => offered(before, wanted, this.#parts.limits()));
    const waiting = new Set(draft.files.value.filter((file) => file.state === "waiting").map((file) => file.key));
    for (const [key, file] of keyed) {
      if (!waiting.has(key)) continue;
      this.#outgoing.set(key, { file, draft, abort: new AbortController() });
      this.#queue.push(key);
      if (isImage(file.type)) this.previews.draw(key, file);
    }
    this.#next();
    return wanted.map(({ key }) => key);
  }

  /** Take a file out of the draft, wherever it is on its way. */
  remove(draft: Draft, { key, attachment }: Pick<DraftFile, "key" | "attachment">): void {
    draft.change((files) => without(files, key));
    this.#outgoing.get(key)?.abort.abort();
    this.#outgoing.delete(key);
    this.#queue = this.#queue.filter((each) => each !== key);
    if (attachment) this.#takeFromServer(attachment);
  }

  again(draft: Draft, key: string): void {
    if (!this.#outgoing.has(key) || this.#queue.includes(key)) return;
    draft.change((files) => changed(files, key, { state: "waiting", progress: 0, failure: null }));
    this.#queue.push(key);
    this.#next();
  }

  /** The server can be reached again: what the network has kept from it goes on. */
  connected(): void {
    for (const [key, { draft }] of this.#outgoing) {
      if (fileIn(draft, key)?.failure?.code === "UNREACHABLE") this.again(draft, key);
    }
    this.#checked.clear();
  }

  /** Files of a draft from before this page: the server keeps them for a day. */
  async check(draft: Draft): Promise<void> {
    for (const { key, attachment } of draft.files.value) {
      if (!attachment || this.#sent.has(attachment.id) || this.#checked.has(attachment.id)) continue;
      this.#checked.add(attachment.id);
      try {
        await withToken(this.#parts.token, (token) => lookForFile(attachment.href, token));
      } catch (error) {
        if (!(error instanceof RestError) || error.code !== "ATTACHMENT_NOT_FOUND") continue;
        const failure = failureOf(error.code);
        draft.change((files) => changed(files, key, { state: "failed", failure }));
      }
    }
  }

  /** The bytes of a file, as the type that the server has found. */
  async blob({ id, href, media_type: type }: WireAttachment): Promise<Blob> {
    const blob = this.#sent.get(id) ?? (await this.#read(href));
    return blob.slice(0, blob.size, type);
  }

  close(): void {
    this.#queue = [];
    for (const { abort } of this.#outgoing.values()) abort.abort();
    this.#outgoing.clear();
  }

  #read(href: string): Promise<Blob> {
    return withToken(this.#parts.token, (token) => readFile(href, token));
  }

  #next(): void {
    while (this.#sending < AT_ONCE) {
      const key = this.#queue.shift();
      const outgoing = key === undefined ? undefined : this.#outgoing.get(key);
      if (key === undefined || !outgoing) return;
      this.#sending += 1;
      void this.#send(key, outgoing).finally(() => {
        this.#sending -= 1;
        this.#next();
      });
    }
  }

  async #send(key: string, { file, draft, abort: { signal } }: Outgoing): Promise<void> {
    const progress = (sent: number): void => draft.progressed(key, sent);
    draft.change((files) => changed(files, key, { state: "sending" }));
    try {
      const attachment = await withToken(this.#parts.token, (token) =>
        this.#parts.send({ file, name: file.name, token, signal, progress }),
      );
      // It was taken out while the answer was on its way.
      if (signal.aborted) return this.#takeFromServer(attachment);
      this.#arrived(key, draft, file, attachment);
    } catch (error) {
      if (!(error instanceof RestError)) throw error;
      if (!signal.aborted) this.#failed(key, draft, error);
    }
  }

  #arrived(key: string, draft: Draft, file: File, attachment: WireAttachment): void {
    this.#outgoing.delete(key);
    this.#sent.set(attachment.id, file);
    for (const id of [...this.#sent.keys()].slice(0, -KEPT)) this.#sent.delete(id);
    this.previews.known(key, attachment.id);
    draft.change((files) => files.map((each) => (each.key === key ? attached(each, attachment) : each)));
  }

  #failed(key: string, draft: Draft, error: RestError): void {
    const { code, message, retryAfter } = error;
    const failure: FileFailure = { code, message, retryAfter, passing: isPassing(error) };
    if (!failure.passing) this.#outgoing.delete(key);
    draft.change((files) => changed(files, key, { state: "failed", failure }));
    if (failure.passing && retryAfter !== null) this.#parts.clock.after(retryAfter * 1000, () => this.#againAfter(draft, key));
  }

  #againAfter(draft: Draft, key: string): void {
    if (fileIn(draft, key)?.failure?.passing) this.again(draft, key);
  }

  /** Nobody waits for it; what stays unsent there is removed after a day. */
  #takeFromServer({ href }: WireAttachment): void {
    this.#parts.fetch({ method: "DELETE", path: href }).catch(() => {});
  }
}

function fileIn(draft: Draft, key: string): DraftFile | undefined {
  return draft.files.value.find((file) => file.key === key);
}
