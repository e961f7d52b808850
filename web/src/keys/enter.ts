// What Enter means in the composer. Pure.

export interface EnterPressed {
  readonly key: string;
  readonly keyCode: number;
  readonly shiftKey: boolean;
  readonly altKey: boolean;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly isComposing: boolean;
}

const IME_KEY = 229;

/**
 * Enter sends, with Shift or Alt it begins a new line. A keyboard on the screen has no Shift for it: there it begins a
 * line, and the button sends. With Ctrl or ⌘ it always sends. What an input method is composing it leaves alone.
 */
export function sends({ key, keyCode, shiftKey, altKey, ctrlKey, metaKey, isComposing }: EnterPressed, touchOnly: boolean): boolean {
  if (key !== "Enter" || isComposing || keyCode === IME_KEY || shiftKey || altKey) return false;
  return ctrlKey || metaKey || !touchOnly;
}
