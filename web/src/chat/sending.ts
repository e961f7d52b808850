// Whether what is in the composer can be sent, and how near it is to the longest message. Pure.
import type { Limits } from "../protocol/frames";
import { frameBytes } from "../protocol/outbox";
import { attachmentsOf, standing } from "./draft_files";
import type { DraftContent } from "./drafts";

export type Obstacle = "nothing written" | "files on their way" | "files missing" | "too long";

/** Any id: they are all as long. */
const ID = "00000000-0000-4000-8000-000000000000";
/** A character takes at most so many bytes in JSON. */
const LARGEST_CHARACTER = 6;
const NEAR = 0.8;

/** How much of the longest message it takes; 0 as long as that does not matter. */
export function fullness({ text, files }: DraftContent, agent: string | null, limits: Limits | null): number {
  const most = limits?.max_message_bytes ?? Number.POSITIVE_INFINITY;
  const spare = most - frameBytes({ messageId: ID, conversation: ID, threadId: ID, content: "", agent, attachments: attachmentsOf(files) });
  // Most messages are far from it: they are not counted at each key.
  if (text.length * LARGEST_CHARACTER < spare * NEAR) return 0;
  const bytes = new TextEncoder().encode(JSON.stringify(text.trim())).length - 2;
  return bytes <= spare * NEAR ? 0 : bytes / Math.max(spare, 1);
}

export function obstacle(written: DraftContent, agent: string | null, limits: Limits | null): Obstacle | null {
  const files = standing(written.files);
  if (files === "busy") return "files on their way";
  if (files === "stuck") return "files missing";
  if (written.text.trim() === "") return "nothing written";
  return fullness(written, agent, limits) > 1 ? "too long" : null;
}
