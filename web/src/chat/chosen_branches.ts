// The branch that the person chose to see in a thread, for a reload of this tab. Another tab shows the newest.
import { PREFIX, quietly } from "./storage";

export class ChosenBranches {
  #prefix: string;

  constructor(userId: string) {
    this.#prefix = `${PREFIX}.branch.${userId}.`;
  }

  /** A message of it, and none when the newest is wanted. */
  read(threadId: string): string | null {
    return quietly(() => sessionStorage.getItem(this.#prefix + threadId));
  }

  write(threadId: string, messageId: string | null): void {
    const key = this.#prefix + threadId;
    quietly(() => (messageId === null ? sessionStorage.removeItem(key) : sessionStorage.setItem(key, messageId)));
  }

  forget(): void {
    quietly(() => {
      for (const key of Object.keys(sessionStorage)) if (key.startsWith(this.#prefix)) sessionStorage.removeItem(key);
    });
  }
}
