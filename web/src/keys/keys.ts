// Keys as they are written in the table of shortcuts: "Mod+Shift+O", "Alt+ArrowUp", "?". Mod is ⌘ on Apple's machines
// and Ctrl elsewhere. Pure.

export interface Pressed {
  readonly key: string;
  readonly code: string;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly altKey: boolean;
  readonly shiftKey: boolean;
}

interface Combination {
  readonly key: string;
  readonly mod: boolean;
  readonly alt: boolean;
  readonly shift: boolean;
}

function read(keys: string): Combination {
  const parts = keys.split("+");
  const key = parts.pop() ?? "";
  return { key, mod: parts.includes("Mod"), alt: parts.includes("Alt"), shift: parts.includes("Shift") };
}

export function isPressed(keys: string, pressed: Pressed, apple: boolean): boolean {
  const { key, mod, alt, shift } = read(keys);
  const [command, other] = apple ? [pressed.metaKey, pressed.ctrlKey] : [pressed.ctrlKey, pressed.metaKey];
  if (command !== mod || other || pressed.altKey !== alt) return false;
  // A sign is the same whatever keys make it: on many keyboards ? and / take Shift.
  if (!/^[A-Z]$/.test(key) && key.length === 1) return pressed.key === key || (mod && pressed.code === CODES[key]);
  if (pressed.shiftKey !== shift) return false;
  // Where letters are not Latin ones, the place of the key counts.
  return pressed.key.toUpperCase() === key.toUpperCase() || (key.length === 1 && !/^[a-z]$/i.test(pressed.key) && pressed.code === `Key${key}`);
}

const CODES: Readonly<Record<string, string>> = { ".": "Period", ",": "Comma", "/": "Slash" };

/** Whether it is one key alone, which a text field needs for itself. Function keys and Escape are no text. */
export function isText(keys: string): boolean {
  const { key, mod, alt } = read(keys);
  return !mod && !alt && key.length === 1;
}

const APPLE: Readonly<Record<string, string>> = { Mod: "⌘", Alt: "⌥", Shift: "⇧" };
const SIGNS: Readonly<Record<string, string>> = { ArrowUp: "↑", ArrowDown: "↓" };

/** The caps to show, one for each key; `name` says what stands on those with one. */
export function caps(keys: string, apple: boolean, name: (key: string) => string | undefined): string[] {
  return keys.split("+").map((key) => {
    const sign = (apple ? APPLE[key] : undefined) ?? SIGNS[key];
    const plain = key === "Mod" ? "Ctrl" : key;
    return sign ?? name(plain) ?? plain;
  });
}
