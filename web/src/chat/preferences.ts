// What a person has chosen for all devices: kept by the server, and the same in all tabs of this browser.
import { type ReadonlySignal, signal } from "@preact/signals";
import { changeMe, type Fetch, loadMe, type Me } from "./rest";

export const PREFERENCES_CHANNEL = "netra-preferences";

/** As much of a BroadcastChannel as is needed. */
export type Tabs = Pick<BroadcastChannel, "postMessage" | "addEventListener" | "close">;

interface Word {
  readonly person: string;
  readonly defaultAgent: string | null;
}

export class Preferences {
  /** Who is asked in a new conversation; null: whom the person asked last. The server may have it no more. */
  readonly defaultAgent: ReadonlySignal<string | null>;

  #defaultAgent = signal<string | null>(null);
  #fetch: Fetch;
  #person: string;
  #tabs: Tabs | null;
  /** What was asked before a change is told too late. */
  #changes = 0;

  constructor(fetch: Fetch, me: Me, tabs: Tabs | null) {
    this.#fetch = fetch;
    this.#person = String(me.id);
    this.#tabs = tabs;
    this.#defaultAgent.value = me.default_agent;
    this.defaultAgent = this.#defaultAgent;
    this.#tabs?.addEventListener("message", (message: MessageEvent<unknown>) => this.#told(message.data));
  }

  /** Seen at once. When the server does not take it, it is again as it was: rejects with RestError. */
  async chooseDefaultAgent(name: string | null): Promise<void> {
    const before = this.#defaultAgent.value;
    const change = ++this.#changes;
    this.#defaultAgent.value = name;
    try {
      await changeMe(this.#fetch, { default_agent: name });
    } catch (error) {
      if (change === this.#changes) this.#defaultAgent.value = before;
      throw error;
    }
    if (change === this.#changes) this.#tabs?.postMessage({ person: this.#person, defaultAgent: name } satisfies Word);
  }

  /** Another device may have changed it. */
  async reload(): Promise<void> {
    const change = this.#changes;
    const me = await loadMe(this.#fetch);
    if (change === this.#changes) this.#defaultAgent.value = me.default_agent;
  }

  close(): void {
    this.#tabs?.close();
  }

  #told(word: unknown): void {
    const { person, defaultAgent } = word as Word;
    if (person !== this.#person) return;
    this.#changes += 1;
    this.#defaultAgent.value = defaultAgent;
  }
}
