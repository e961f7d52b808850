// The agents that the server offers, and which of them the person wants.
import { computed, type ReadonlySignal, signal } from "@preact/signals";
import { type AgentDescription, type Fetch, loadAgents } from "./rest";
import { forgetAll, keep, kept, PREFIX } from "./storage";

export interface OfferedAgent {
  readonly name: string;
  /** Null until the server has told, or when it does not. */
  readonly described: AgentDescription | null;
}

export class Agents {
  readonly offered: ReadonlySignal<readonly OfferedAgent[]>;

  #fetch: Fetch;
  #prefix: string;
  #names = signal<readonly string[]>([]);
  #descriptions = signal<readonly AgentDescription[]>([]);

  constructor(fetch: Fetch, userId: string) {
    this.#fetch = fetch;
    this.#prefix = `${PREFIX}.agent.${userId}.`;
    this.offered = computed(() =>
      this.#names.value.map((name) => ({ name, described: this.#descriptions.value.find((each) => each.name === name) ?? null })),
    );
  }

  /** The names come with each connection; the server may have been started anew with others. The first is its default. */
  announced(names: readonly string[]): void {
    this.#names.value = names;
    if (this.offered.value.every((agent) => agent.described !== null)) return;
    loadAgents(this.#fetch).then(
      (found) => (this.#descriptions.value = found),
      () => {},
    );
  }

  /** The first of these wishes that is offered; null, which leaves it to the server, when nothing is known. */
  choose(...wishes: readonly (string | null)[]): string | null {
    const names = this.#names.value;
    return wishes.find((wish) => wish !== null && names.includes(wish)) ?? names[0] ?? null;
  }

  /** What the person chose in this thread, or last in a new conversation. */
  chosenIn(threadId: string | null): string | null {
    return kept(this.#prefix + (threadId ?? "new")) || null;
  }

  remember(threadId: string | null, name: string): void {
    keep(this.#prefix + (threadId ?? "new"), name);
  }

  forget(): void {
    forgetAll(this.#prefix);
  }
}
