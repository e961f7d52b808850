// What the person has typed and attached and not sent: it survives a reload, and a sign-out for the same person
// (docs/decisions/0020-drafts-after-sign-out.md).
import { type ReadonlySignal, signal } from "@preact/signals";
import { newMessageId } from "../protocol/identifier";
import type { Outbox } from "../protocol/outbox";
import { changed, type DraftFiles, joined, restored as restoredFiles, stored as storedFiles, takenBack } from "./draft_files";
import { keep, kept, PREFIX, quietly, tryToKeep } from "./storage";

const DAY_MS = 86_400_000;
const KEPT_MS = 30 * DAY_MS;
/** As long as a deleted thread can be restored. */
const KEPT_OF_DELETED_MS = DAY_MS / 24;
const MOST = 100;

export interface DraftContent {
  readonly text: string;
  readonly files: DraftFiles;
}

interface KeptDraft extends DraftContent {
  /** When it is too old to be kept; null where nobody has said. */
  readonly until: number | null;
}

/** One conversation's draft. The same object for as long as the page lives: files go on arriving while another is open. */
export class Draft {
  readonly text: ReadonlySignal<string>;
  readonly files: ReadonlySignal<DraftFiles>;

  #text;
  #files;
  #changed: (draft: Draft) => void;
  /** What another tab has written while somebody was writing here. */
  #missed: string | null = null;

  constructor({ text, files }: DraftContent, changed: (draft: Draft) => void) {
    this.text = this.#text = signal(text);
    this.files = this.#files = signal(files);
    this.#changed = changed;
  }

  get written(): DraftContent {
    return { text: this.text.value, files: this.files.value };
  }

  type(text: string): void {
    this.#text.value = text;
    this.#missed = null;
    this.#changed(this);
  }

  change(files: (files: DraftFiles) => DraftFiles): void {
    this.#files.value = files(this.#files.value);
    this.#changed(this);
  }

  /** How far a file is: nothing of that is kept. */
  progressed(key: string, progress: number): void {
    this.#files.value = changed(this.#files.value, key, { progress });
  }

  /** Put what was about to be sent before what is being written. */
  takeBack({ content, attachments = [] }: Pick<Outbox[number], "content" | "attachments">): void {
    this.#text.value = [content, this.#text.value].filter((text) => text !== "").join("\n\n");
    this.#files.value = [...takenBack(attachments), ...this.#files.value];
    this.#changed(this);
  }

  append({ content, attachments = [] }: Pick<Outbox[number], "content" | "attachments">): void {
    if (content.trim() === "" && attachments.length === 0) return;
    this.#text.value = [this.#text.value, content].filter((text) => text.trim() !== "").join("\n\n");
    this.#files.value = [...this.#files.value, ...takenBack(attachments)];
    this.#changed(this);
  }

  clear(): void {
    this.#text.value = "";
    this.#files.value = [];
    this.#changed(this);
  }

  /** Another tab has written: its files count, and its text unless somebody is writing here. */
  adopt({ text, files }: DraftContent, isWriting: boolean): void {
    if (isWriting) this.#missed = text;
    else this.#text.value = text;
    this.#files.value = joined(this.#files.value, files);
  }

  /** Nobody is writing here any more. */
  left(): void {
    if (this.#missed !== null) this.#text.value = this.#missed;
    this.#missed = null;
  }
}

export class Drafts {
  #prefix: string;
  #now: () => number;
  #open = new Map<string, Draft>();

  constructor(userId: string, now: () => number = Date.now) {
    this.#prefix = `${PREFIX}.draft.${userId}.`;
    this.#now = now;
    this.#prune();
  }

  /** Of a thread, or of a new conversation for null. */
  of(threadId: string | null): Draft {
    const key = this.#prefix + (threadId ?? "new");
    const open = this.#open.get(key) ?? new Draft(read(kept(key)), (draft) => this.#keep(draft));
    this.#open.set(key, open);
    return open;
  }

  /** The new conversation has become a thread. */
  begun(draft: Draft, threadId: string): void {
    const before = this.#keyOf(draft);
    if (before !== `${this.#prefix}new`) return;
    this.#open.delete(before);
    keep(before, "");
    this.#open.set(this.#prefix + threadId, draft);
    this.#keep(draft);
  }

  /** The text of an edit that was begun. */
  readEdit(messageId: string): string {
    return kept(`${this.#prefix}edit.${messageId}`);
  }

  writeEdit(messageId: string, text: string): void {
    keep(`${this.#prefix}edit.${messageId}`, text);
  }

  /** What was typed there is kept as long as the thread can come back. */
  deleted(threadId: string): void {
    this.#expire(threadId, KEPT_OF_DELETED_MS);
  }

  restored(threadId: string): void {
    this.#expire(threadId, KEPT_MS);
  }

  /** Another tab has changed something in the browser's notes. `written`: the draft that somebody is writing here. */
  stored({ key, newValue }: Pick<StorageEvent, "key" | "newValue">, written: Draft | null): void {
    const draft = key === null ? undefined : this.#open.get(key);
    draft?.adopt(read(newValue ?? ""), draft === written);
  }

  /** Messages that were not sent are drafts again, the first one first. */
  takeBack(messages: Outbox): void {
    for (const message of [...messages].reverse()) this.of(message.threadId).takeBack(message);
  }

  #keyOf(draft: Draft): string | undefined {
    return [...this.#open].find(([, each]) => each === draft)?.[0];
  }

  #keep(draft: Draft): void {
    const key = this.#keyOf(draft);
    if (key !== undefined) this.#write(key, draft.written, this.#now() + KEPT_MS);
  }

  /** Where the browser's room is used up, older drafts make some. */
  #write(key: string, { text, files }: DraftContent, until: number): void {
    const kept = storedFiles(files);
    if (text === "" && kept.length === 0) return keep(key, "");
    const written = JSON.stringify({ text, files: kept, until });
    for (const older of [null, ...this.#byAge().filter((each) => each !== key)]) {
      if (older !== null) keep(older, "");
      if (tryToKeep(key, written)) return;
    }
  }

  #expire(threadId: string, after: number): void {
    const key = this.#prefix + threadId;
    const found = kept(key);
    if (found !== "") this.#write(key, read(found), this.#now() + after);
  }

  /** Of this person, the oldest first. */
  #byAge(): string[] {
    const ages = keysOf(this.#prefix).map((key) => [key, read(kept(key)).until ?? 0] as const);
    return ages.sort(([, a], [, b]) => a - b).map(([key]) => key);
  }

  /** What is too old goes, whoever has written it; of the rest the newest stay. */
  #prune(): void {
    for (const key of keysOf(`${PREFIX}.draft.`)) {
      const { until } = read(kept(key));
      if (until !== null && until < this.#now()) keep(key, "");
    }
    for (const key of this.#byAge().slice(0, -MOST)) keep(key, "");
  }
}

function keysOf(prefix: string): string[] {
  return quietly(() => Object.keys(localStorage).filter((key) => key.startsWith(prefix))) ?? [];
}

/** An earlier version kept the text alone. */
function read(text: string): KeptDraft {
  const found = quietly(() => JSON.parse(text) as unknown);
  const given = (typeof found === "object" && found !== null ? found : {}) as Record<string, unknown>;
  if (typeof given["text"] !== "string" || typeof given["until"] !== "number") return { text, files: [], until: null };
  return { text: given["text"], files: restoredFiles(given["files"], newMessageId), until: given["until"] };
}

const SIGNED_IN = `${PREFIX}.signed-in`;

/** Whether a refresh cookie may be there: it is asked for only then. True when the browser keeps no notes. */
export function mayBeSignedIn(): boolean {
  return quietly(() => localStorage.getItem(SIGNED_IN) !== null) ?? true;
}

export function noteSignedIn(signedIn: boolean): void {
  keep(SIGNED_IN, signedIn ? "yes" : "");
}
