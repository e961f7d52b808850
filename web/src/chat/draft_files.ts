// The files of a draft: which are taken, how far each is, and what stands in the way of sending them. Pure.
import type { Limits, WireAttachment } from "../protocol/frames";

export interface FileFailure {
  readonly code: string;
  readonly message: string;
  readonly retryAfter: number | null;
  /** Another attempt may succeed. */
  readonly passing: boolean;
}

export interface DraftFile {
  /** Names it on this page. */
  readonly key: string;
  readonly name: string;
  readonly bytes: number;
  /** What the browser takes it for, until the server has looked into it. */
  readonly mediaType: string;
  readonly state: "waiting" | "sending" | "there" | "failed";
  /** How much of it is sent, from 0 to 1. */
  readonly progress: number;
  readonly attachment: WireAttachment | null;
  readonly failure: FileFailure | null;
}

export type DraftFiles = readonly DraftFile[];

/** A file as it was chosen, pasted or dropped. */
export interface OfferedFile {
  readonly key: string;
  readonly name: string;
  readonly bytes: number;
  readonly mediaType: string;
  readonly isFolder: boolean;
}

export function failureOf(code: string, { message = "", retryAfter = null, passing = false }: Partial<FileFailure> = {}): FileFailure {
  return { code, message, retryAfter, passing };
}

/** The files with those that were offered: each is taken or refused by itself. Without limits the server decides. */
export function offered(files: DraftFiles, more: readonly OfferedFile[], limits: Limits | null): DraftFiles {
  const most = limits?.["max_attachments"] ?? Number.POSITIVE_INFINITY;
  const largest = limits?.["max_attachment_bytes"] ?? Number.POSITIVE_INFINITY;
  let count = files.filter(counts).length;
  const added = more.map(({ key, name, bytes, mediaType, isFolder }): DraftFile => {
    const code = isFolder ? "IS_FOLDER" : bytes === 0 ? "FILE_EMPTY" : bytes > largest ? "ATTACHMENT_TOO_LARGE" : count >= most ? "TOO_MANY_ATTACHMENTS" : null;
    if (code === null) count += 1;
    const file = { key, name: shownName(name), bytes, mediaType, progress: 0, attachment: null };
    return code === null ? { ...file, state: "waiting", failure: null } : { ...file, state: "failed", failure: failureOf(code) };
  });
  return [...files, ...added];
}

/** The person counts on these: they were taken, or were about to be. */
const LOST: ReadonlySet<string | undefined> = new Set(["ATTACHMENT_NOT_FOUND", "UPLOAD_INTERRUPTED"]);

/** Whether it is, or may become, a file of the message. */
function counts({ state, failure }: DraftFile): boolean {
  return state !== "failed" || failure?.passing === true || LOST.has(failure?.code);
}

export function changed(files: DraftFiles, key: string, change: Partial<DraftFile>): DraftFiles {
  return files.map((file) => (file.key === key ? { ...file, ...change } : file));
}

export function without(files: DraftFiles, key: string): DraftFiles {
  return files.filter((file) => file.key !== key);
}

export function attached(file: DraftFile, attachment: WireAttachment): DraftFile {
  const { name, bytes, media_type: mediaType } = attachment;
  return { ...file, name, bytes, mediaType, state: "there", progress: 1, attachment, failure: null };
}

/** Files that the server has, in a draft again. */
export function takenBack(attachments: readonly WireAttachment[]): DraftFiles {
  return attachments.map((attachment) => attached(BLANK(attachment.id), attachment));
}

const BLANK = (key: string): DraftFile => ({ key, name: "", bytes: 0, mediaType: "", state: "waiting", progress: 0, attachment: null, failure: null });

export function attachmentsOf(files: DraftFiles): readonly WireAttachment[] {
  return files.flatMap(({ state, attachment }) => (state === "there" && attachment ? [attachment] : []));
}

/** A refused file is no part of the message, and the person has read why; one that may still arrive is waited for. */
export function standing(files: DraftFiles): "ready" | "busy" | "stuck" {
  if (files.some(({ state }) => state === "waiting" || state === "sending")) return "busy";
  return files.some((file) => file.state === "failed" && counts(file)) ? "stuck" : "ready";
}

/** What of them is kept over a reload: ids, and the names of those that were on their way. */
export function stored(files: DraftFiles): unknown[] {
  return files.filter(counts).map(({ name, bytes, attachment, failure }) => (attachment && failure === null ? attachment : { name, bytes }));
}

export function restored(found: unknown, newKey: () => string): DraftFiles {
  if (!Array.isArray(found)) return [];
  return found.flatMap((each: unknown): DraftFiles => {
    if (isAttachment(each)) return takenBack([each]);
    const { name, bytes } = (each ?? {}) as Record<string, unknown>;
    if (typeof name !== "string" || typeof bytes !== "number") return [];
    return [{ ...BLANK(newKey()), name, bytes, state: "failed", failure: failureOf("UPLOAD_INTERRUPTED") }];
  });
}

function isAttachment(value: unknown): value is WireAttachment {
  const given = (value ?? {}) as Record<string, unknown>;
  return ["id", "name", "media_type", "href"].every((name) => typeof given[name] === "string") && typeof given["bytes"] === "number";
}

/** Another tab has changed the draft: its files, and those that this tab is sending. */
export function joined(own: DraftFiles, theirs: DraftFiles): DraftFiles {
  const known = new Map(own.map((file) => [file.attachment?.id, file]));
  return [...theirs.filter((file) => file.attachment).map((file) => known.get(file.attachment?.id) ?? file), ...own.filter((file) => file.attachment === null)];
}

/** A name as the server will have it: its last part, without characters that are not seen or that turn its direction. */
export function shownName(given: string): string {
  const last = given.split(/[/\\]/).at(-1) ?? "";
  const name = last.normalize("NFC").replace(/[\s\p{Z}]+/gu, " ").replace(/(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}]/gu, "").trim();
  return name || "file";
}

/** A long name without its middle: how it begins and how it ends tells most. */
export function cut(name: string, longest: number): string {
  const letters = "Segmenter" in Intl ? Array.from(new Intl.Segmenter().segment(name), ({ segment }) => segment) : Array.from(name);
  if (letters.length <= longest) return name;
  const tail = Math.floor((longest - 1) / 2);
  return `${letters.slice(0, longest - 1 - tail).join("")}…${letters.slice(-tail).join("")}`;
}

const IMAGES: ReadonlySet<string> = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);

export function isImage(mediaType: string): boolean {
  return IMAGES.has(mediaType);
}
