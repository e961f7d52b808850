// What the person has typed and not sent, and what was sent and not yet accepted: both survive a reload.
import { type Outbox, restored, stored } from "../protocol/outbox";
import { forgetAll, keep, kept, PREFIX, quietly } from "./storage";

/** Drafts outlive the tab; the outbox belongs to its tab, so that no two tabs send the same message. */
export class Drafts {
  #prefix: string;
  #outboxKey: string;

  constructor(userId: string) {
    this.#prefix = `${PREFIX}.draft.${userId}.`;
    this.#outboxKey = `${PREFIX}.outbox.${userId}`;
  }

  read(threadId: string | null): string {
    return kept(this.#prefix + (threadId ?? "new"));
  }

  write(threadId: string | null, text: string): void {
    keep(this.#prefix + (threadId ?? "new"), text);
  }

  readOutbox(): Outbox {
    return restored(quietly(() => sessionStorage.getItem(this.#outboxKey)));
  }

  writeOutbox(outbox: Outbox): void {
    const text = stored(outbox);
    quietly(() => (text === "[]" ? sessionStorage.removeItem(this.#outboxKey) : sessionStorage.setItem(this.#outboxKey, text)));
  }

  /** Signing out leaves nothing of the person on this machine. */
  forget(): void {
    quietly(() => sessionStorage.removeItem(this.#outboxKey));
    forgetAll(this.#prefix);
  }
}

const SIGNED_IN = `${PREFIX}.signed-in`;

/** Whether a refresh cookie may be there: it is asked for only then. True when the browser keeps no notes. */
export function mayBeSignedIn(): boolean {
  return quietly(() => localStorage.getItem(SIGNED_IN) !== null) ?? true;
}

export function noteSignedIn(signedIn: boolean): void {
  keep(SIGNED_IN, signedIn ? "yes" : "");
}
