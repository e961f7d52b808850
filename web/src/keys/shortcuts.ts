// The page's shortcuts: one table of keys and words, and what of it works at the moment. The sheet shows just that.
// A view that offers an action calls `useShortcut`; an action that is new gets a line in the table.
import { signal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { keep, kept, PREFIX } from "../chat/storage";
import { words } from "../words/words";
import { caps, isPressed, isText } from "./keys";

export interface Shortcut {
  readonly keys: readonly string[];
  readonly words: string;
  readonly place: "everywhere" | "list" | "settings" | "composer";
}

const say = words.shortcuts;

export const SHORTCUTS = {
  newChat: { keys: ["Mod+Shift+O"], words: say.newChat, place: "everywhere" },
  search: { keys: ["Mod+K"], words: say.search, place: "everywhere" },
  previous: { keys: ["Alt+ArrowUp"], words: say.previous, place: "everywhere" },
  next: { keys: ["Alt+ArrowDown"], words: say.next, place: "everywhere" },
  compose: { keys: ["Escape"], words: say.compose, place: "everywhere" },
  attach: { keys: ["Mod+U"], words: say.attach, place: "everywhere" },
  stop: { keys: ["Mod+."], words: say.stop, place: "everywhere" },
  interrupt: { keys: ["Mod+Enter"], words: say.interrupt, place: "everywhere" },
  editLast: { keys: ["Mod+Shift+E"], words: say.editLast, place: "everywhere" },
  copyLast: { keys: ["Mod+Shift+C"], words: say.copyLast, place: "everywhere" },
  undo: { keys: ["Mod+Z"], words: say.undo, place: "everywhere" },
  settings: { keys: ["Mod+,"], words: say.settings, place: "everywhere" },
  sheet: { keys: ["?", "Mod+/"], words: say.sheet, place: "everywhere" },
  editLastHere: { keys: ["ArrowUp"], words: say.editLast, place: "composer" },
  move: { keys: ["ArrowUp", "ArrowDown"], words: say.move, place: "list" },
  rename: { keys: ["F2"], words: say.rename, place: "list" },
  delete: { keys: ["Delete"], words: say.delete, place: "list" },
  leave: { keys: ["Escape"], words: say.leave, place: "settings" },
} as const satisfies Record<string, Shortcut>;

export type ShortcutName = keyof typeof SHORTCUTS;

export const isApple = typeof navigator !== "undefined" && /Mac|iPhone|iPad/.test(navigator.platform);

/** What stands on the keys of a shortcut, as this machine's keyboard has it. */
export function capsOf(keys: string): string[] {
  return caps(keys, isApple, (key) => (Object.hasOwn(words.keys, key) ? words.keys[key as keyof typeof words.keys] : undefined));
}

/** False: nothing was to be done, and the key keeps its meaning. */
type Act = (event: KeyboardEvent) => boolean | void;

interface Offer {
  readonly act: Act;
  /** Works only while the focus is inside. */
  readonly inside: (() => HTMLElement | null) | null;
}

/** While something lies over the whole page, what works there: nothing else does. */
export const front = signal<ReadonlySet<ShortcutName> | null>(null);

const offers = signal<ReadonlyMap<ShortcutName, Offer>>(new Map());
const SINGLE_KEYS = `${PREFIX}.single-keys`;
export const singleKeys = signal(kept(SINGLE_KEYS) !== "off");

export function allowSingleKeys(allowed: boolean): void {
  keep(SINGLE_KEYS, allowed ? "" : "off");
  singleKeys.value = allowed;
}

/** What works now. */
export function offered(): ShortcutName[] {
  return (Object.keys(SHORTCUTS) as ShortcutName[]).filter((name) => offers.value.has(name) && (front.value?.has(name) ?? true));
}

/** Offer the action while the view is shown: from the moment on at which it can be seen. */
export function useShortcut(name: ShortcutName, act: Act, inside: Offer["inside"] = null): void {
  const latest = useRef(act);
  latest.current = act;
  useLayoutEffect(() => {
    const offer: Offer = { act: (event) => latest.current(event), inside };
    offers.value = new Map([...offers.peek(), [name, offer]]);
    return () => {
      if (offers.peek().get(name) === offer) offers.value = new Map([...offers.peek()].filter(([each]) => each !== name));
    };
  }, [name]);
}

export function listenForShortcuts(): void {
  addEventListener("storage", (event) => {
    if (event.key === SINGLE_KEYS || event.key === null) singleKeys.value = kept(SINGLE_KEYS) !== "off";
  });
  document.addEventListener("keydown", (event) => {
    // A menu has taken the key, an input method composes with it, or a dialog is in front of the page.
    if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]")) return;
    for (const [name, { act, inside }] of offers.peek()) {
      const keys = SHORTCUTS[name].keys.find((each) => isPressed(each, event, isApple));
      if (keys === undefined || front.peek()?.has(name) === false || (inside && !inside()?.contains(event.target as Node))) continue;
      const isForField = SHORTCUTS[name].place === "composer";
      if (!isForField && isInField(event.target) && (isText(keys) || LEFT_TO_FIELDS.has(keys))) continue;
      if (isText(keys) && !singleKeys.peek()) continue;
      if (act(event) === false) continue;
      event.preventDefault();
      return;
    }
  });
}

/** A text field moves, removes and undoes by itself. */
const LEFT_TO_FIELDS: ReadonlySet<string> = new Set(["Mod+Z", "ArrowUp", "ArrowDown", "Delete"]);

function isInField(target: EventTarget | null): boolean {
  const element = target as HTMLElement | null;
  return element !== null && (element.isContentEditable || /^(?:INPUT|TEXTAREA|SELECT)$/.test(element.tagName));
}
