import { signal } from "@preact/signals";
import type { VNode } from "preact";

const words = signal("");

/** Have a screen reader say this when it has the time; the same once more is another text, in which nothing else is said. */
export function announce(text: string): void {
  words.value = text === words.peek() ? `${text}\u00a0` : text;
}

export function Announcer(): VNode {
  return (
    <p class="visually-hidden" role="status" aria-live="polite" data-testid="announcer">
      {words.value}
    </p>
  );
}
