// What the connection could not tell is read again: the list, and the open thread.
import type { Clock } from "../protocol/clock";
import { type Stale, threadsLoaded } from "../protocol/fold";
import { RestError } from "../session/rest";
import type { Conversation } from "./conversation";
import type { Delivery } from "./delivery";
import type { ThreadList } from "./thread_list";

export interface CatchingUpParts {
  readonly clock: Clock;
  readonly delivery: Delivery;
  readonly list: ThreadList;
  readonly conversation: () => Conversation;
  /** The open thread was deleted. */
  readonly gone: (threadId: string) => void;
}

const RELOAD_DELAY_MS = 1000;

export class CatchingUp {
  #parts: CatchingUpParts;
  #reloadsList = false;
  #live = true;

  constructor(parts: CatchingUpParts) {
    this.#parts = parts;
  }

  refresh(stale: Stale): void {
    const { conversation, delivery } = this.#parts;
    if (stale.list) this.#reloadList();
    const open = conversation().threadId.value;
    const shown = stale.all || (open !== null && stale.threads.includes(open));
    if (stale.all || stale.threads.length > 0) delivery.update(threadsLoaded);
    if (stale.all && !stale.list) this.#reloadList();
    if (shown) void conversation().load();
  }

  close(): void {
    this.#live = false;
  }

  /** Again after a moment when the list was overtaken while it was read. */
  #reloadList(): void {
    const { clock, delivery, list } = this.#parts;
    if (this.#reloadsList || !this.#live) return;
    this.#reloadsList = true;
    const again = (): void => {
      this.#reloadsList = false;
      this.#lookAtOpenThread();
      if (delivery.current.stale.list) this.#reloadList();
    };
    void list.reload().then(
      () => clock.after(delivery.current.stale.list ? RELOAD_DELAY_MS : 0, again),
      () => clock.after(RELOAD_DELAY_MS, again),
    );
  }

  /** Notices were missed: the open thread can have been renamed, or deleted. */
  #lookAtOpenThread(): void {
    const conversation = this.#parts.conversation();
    conversation.look().catch((error: unknown) => {
      const id = conversation.threadId.value;
      if (id !== null && error instanceof RestError && error.code === "THREAD_NOT_FOUND") this.#parts.gone(id);
    });
  }
}
