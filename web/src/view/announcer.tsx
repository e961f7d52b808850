import { signal } from "@preact/signals";
import type { VNode } from "preact";

const words = signal("");

/** Have a screen reader say this when it has the time. */
export function announce(text: string): void {
  words.value = text;
}

export function Announcer(): VNode {
  return (
    <p class="visually-hidden" role="status" aria-live="polite" data-testid="announcer">
      {words.value}
    </p>
  );
}
