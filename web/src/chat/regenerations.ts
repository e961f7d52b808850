// Other answers that the person has asked for, until the server has taken or refused the wish. What waits for a
// connection is sent with the next one; what was sent and not answered is not: the server may have answered it already.
import { signal } from "@preact/signals";
import type { Command } from "../protocol/frames";

const PREFIX = "again:";

export class Regenerations {
  /** The questions. */
  readonly asked = signal<ReadonlySet<string>>(new Set());

  #send: (command: Command) => boolean;
  #waiting = new Map<string, Command>();

  constructor(send: (command: Command) => boolean) {
    this.#send = send;
  }

  ask(questionId: string, agent: string | null): void {
    if (this.asked.value.has(questionId)) return;
    this.asked.value = new Set([...this.asked.value, questionId]);
    const command: Command = { type: "regenerate", ref: PREFIX + questionId, message_id: questionId, ...(agent === null ? {} : { agent }) };
    if (!this.#send(command)) this.#waiting.set(questionId, command);
  }

  connected(): void {
    for (const [questionId, command] of this.#waiting) {
      if (this.#send(command)) this.#waiting.delete(questionId);
    }
  }

  disconnected(): void {
    this.asked.value = new Set(this.#waiting.keys());
  }

  /** The server has said something to this `ref`; false when it is none of a wish. */
  answered(ref: string | undefined): boolean {
    if (!ref?.startsWith(PREFIX)) return false;
    const questionId = ref.slice(PREFIX.length);
    this.asked.value = new Set([...this.asked.value].filter((each) => each !== questionId));
    return true;
  }
}

export function isRegeneration(ref: string | undefined): boolean {
  return ref?.startsWith(PREFIX) ?? false;
}
