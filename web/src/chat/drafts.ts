// What the person has typed and not sent: it outlives the tab.
import { forgetAll, keep, kept, PREFIX, quietly } from "./storage";

export class Drafts {
  #prefix: string;

  constructor(userId: string) {
    this.#prefix = `${PREFIX}.draft.${userId}.`;
  }

  read(threadId: string | null): string {
    return kept(this.#prefix + (threadId ?? "new"));
  }

  write(threadId: string | null, text: string): void {
    keep(this.#prefix + (threadId ?? "new"), text);
  }

  /** Signing out leaves nothing of the person on this machine. */
  forget(): void {
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
