import { signal } from "@preact/signals";
import type { VNode } from "preact";
import { useShortcut } from "../keys/shortcuts";
import { loadSeldom, seldom } from "./seldom_loaded";

const shown = signal(false);

export function showShortcuts(): void {
  loadSeldom();
  shown.value = true;
}

/** What can be done from the keyboard at the moment. */
export function ShortcutSheet(): VNode | null {
  useShortcut("sheet", showShortcuts);
  const parts = seldom.value;
  return shown.value && parts ? <parts.Sheet close={() => (shown.value = false)} /> : null;
}
