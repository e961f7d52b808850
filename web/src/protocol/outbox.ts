// Messages on their way to the server: one at a time per conversation, each after the acceptance of the one before,
// sent again under the same id until the server accepts or refuses it. Pure: each function gives a new outbox.
import type { Command, MessageAccepted, WireAttachment } from "./frames";

export interface Refusal {
  readonly error_code: string;
  readonly error_message: string;
  readonly retry_after?: number;
  readonly details?: Readonly<Record<string, unknown>>;
}

export interface OutgoingMessage {
  readonly messageId: string;
  /** The thread's id, or a name of the page's own until the server has made the thread. */
  readonly conversation: string;
  readonly threadId: string | null;
  readonly content: string;
  /** Who is asked; null leaves it to the server. */
  readonly agent: string | null;
  /** An earlier question of the person's, beside which this one is put. */
  readonly edits?: string;
  /** The message that this one follows, when that is not the end of the newest branch. */
  readonly parentId?: string;
  /** What becomes of an answer that is being written; without it, the message waits. */
  readonly whenBusy?: "interrupt" | "reject";
  /** Files that the server has taken and no message has yet. */
  readonly attachments?: readonly WireAttachment[];
  readonly state: "waiting" | "sent" | "accepted" | "refused";
  /** It went onto a socket: the server may have it, whatever became of the answer. */
  readonly tried?: true;
  /** Milliseconds since 1970 at which the person sent it. */
  readonly writtenAt?: number;
  readonly refusal: Refusal | null;
  readonly acceptance: MessageAccepted | null;
}

/** A message as the person wrote it. */
export type NewMessage = Omit<OutgoingMessage, "state" | "tried" | "refusal" | "acceptance">;

export type Outbox = readonly OutgoingMessage[];

function changed(outbox: Outbox, messageId: string, change: Partial<OutgoingMessage>): Outbox {
  return outbox.map((message) => (message.messageId === messageId ? { ...message, ...change } : message));
}

export function enqueued(outbox: Outbox, message: NewMessage): Outbox {
  return [...outbox, { ...message, state: "waiting", refusal: null, acceptance: null }];
}

/** What to send now: the first message of each conversation that is neither accepted nor refused, if it waits. */
export function due(outbox: Outbox): OutgoingMessage[] {
  const busy = new Set<string>();
  return outbox.filter((message) => {
    // A thread that was begun on this page and opened again later has two names here.
    const place = message.threadId ?? message.conversation;
    if (message.state === "accepted" || message.state === "refused" || busy.has(place)) return false;
    busy.add(place);
    return message.state === "waiting";
  });
}

/** Those that have not reached the server, as far as the page knows. */
export function waiting(outbox: Outbox): OutgoingMessage[] {
  return outbox.filter((message) => message.state === "waiting" || message.state === "sent");
}

export function command(message: NewMessage): Command {
  return {
    type: "user_message",
    ref: message.messageId,
    message_id: message.messageId,
    content: message.content,
    ...(message.threadId === null ? {} : { thread_id: message.threadId }),
    ...(message.agent === null ? {} : { agent: message.agent }),
    ...(message.edits === undefined ? {} : { edits: message.edits }),
    ...(message.parentId === undefined ? {} : { parent_id: message.parentId }),
    ...(message.whenBusy === undefined ? {} : { when_busy: message.whenBusy }),
    ...(message.attachments?.length ? { attachments: message.attachments.map((file) => file.id) } : {}),
  };
}

/** What the frame of a message takes. */
export function frameBytes(message: NewMessage): number {
  return new TextEncoder().encode(JSON.stringify(command(message))).length;
}

export function sent(outbox: Outbox, messageId: string): Outbox {
  return changed(outbox, messageId, { state: "sent", tried: true });
}

/** The connection is gone: what was sent and not answered is sent again. */
export function disconnected(outbox: Outbox): Outbox {
  return outbox.map((message) => (message.state === "sent" ? { ...message, state: "waiting" } : message));
}

/** The first acceptance of a new conversation names the thread for all its messages. */
export function accepted(outbox: Outbox, acceptance: MessageAccepted): Outbox {
  const own = outbox.find((message) => message.messageId === acceptance.message_id);
  if (!own) return outbox;
  const threadId = acceptance.thread_id;
  return outbox.map((message) => {
    if (message === own) return { ...message, threadId, state: "accepted", acceptance, refusal: null };
    return message.conversation === own.conversation ? { ...message, threadId } : message;
  });
}

export function refused(outbox: Outbox, messageId: string, refusal: Refusal): Outbox {
  return changed(outbox, messageId, { state: "refused", refusal });
}

/** Try a refused message again, at its old place. An id that the server knows with other content is of no more use. */
export function retried(outbox: Outbox, messageId: string, freshId: string): Outbox {
  const message = outbox.find((each) => each.messageId === messageId);
  if (message?.state !== "refused") return outbox;
  const id = message.refusal?.error_code === "MESSAGE_ID_CONFLICT" ? freshId : messageId;
  return changed(outbox, messageId, { messageId: id, state: "waiting", refusal: null });
}

export function discarded(outbox: Outbox, messageId: string): Outbox {
  return outbox.filter((message) => message.messageId !== messageId);
}

/** Accepted messages leave when the conversation itself shows them. */
export function settled(outbox: Outbox, isShown: (message: OutgoingMessage) => boolean): Outbox {
  const rest = outbox.filter((message) => message.state !== "accepted" || !isShown(message));
  return rest.length === outbox.length ? outbox : rest;
}

const OFFERED_AFTER_MS = 60 * 60 * 1000;
export const LEFT_UNSENT = "LEFT_UNSENT";

/**
 * What a closed tab has left. Recent messages go out as they would have there; an old one is no longer expected to, and
 * is offered to the person. One that is here already, which its tab left behind as it died, is not taken twice.
 */
export function adopted(outbox: Outbox, left: Outbox, now: number): Outbox {
  const known = new Set(outbox.map((message) => message.messageId));
  const fresh = left.filter((message) => !known.has(message.messageId));
  if (fresh.length === 0) return outbox;
  const taken = fresh.map((message): OutgoingMessage => {
    const isOld = message.state === "waiting" && now - (message.writtenAt ?? now) > OFFERED_AFTER_MS;
    return isOld ? { ...message, state: "refused", refusal: { error_code: LEFT_UNSENT, error_message: "" } } : message;
  });
  return [...taken, ...outbox];
}

/** The form in which the outbox survives its page. */
export function stored(outbox: Outbox): string {
  return JSON.stringify(disconnected(outbox.filter((message) => message.state !== "accepted")));
}

export function restored(text: string | null): Outbox {
  try {
    const found: unknown = JSON.parse(text ?? "[]");
    return Array.isArray(found) ? (found as Outbox) : [];
  } catch {
    return [];
  }
}
