// How values of tools are laid out and folded. Pure.

const FOLDED_LINES = 12;
const FOLDED_CHARACTERS = 1200;
/** A box with more than this scrolls. */
export const SCROLLED_LINES = 24;

/** JSON with a line for each part, also when it came as text; other text as it is. */
export function pretty(value: unknown): string {
  if (typeof value !== "string") return JSON.stringify(value, null, 2) ?? "";
  if (!/^\s*[[{]/.test(value)) return value;
  try {
    return JSON.stringify(JSON.parse(value), null, 2);
  } catch {
    return value;
  }
}

/** The beginning of a long text; null of one that is short enough. */
export function folded(text: string): string | null {
  const lines = text.split("\n", FOLDED_LINES + 1);
  const beginning = lines.slice(0, FOLDED_LINES).join("\n");
  if (lines.length <= FOLDED_LINES && text.length <= FOLDED_CHARACTERS) return null;
  if (beginning.length <= FOLDED_CHARACTERS) return beginning;
  const cut = beginning.slice(0, FOLDED_CHARACTERS);
  // Half of a pair of surrogates is no character.
  return /[\ud800-\udbff]$/.test(cut) ? cut.slice(0, -1) : cut;
}

export function bytesOf(text: string): number {
  return new TextEncoder().encode(text).length;
}
