// Formulas are shown as they were written: to Markdown their marks would be emphasis and escapes. A dollar sign begins
// one as pandoc has it, so that amounts are none: no blank inside next to it, and nothing that goes on after the last.
import type { MarkedOptions, Tokens } from "marked";

const INLINE = [
  /^\$\$[^$`]{1,1000}\$\$/,
  /^\$(?![\s$])(?:\\[^\n]|[^$\\\n`]){1,500}(?<!\s)\$(?![\w$])/,
  /^\\\([^\n`]{1,1000}?\\\)/,
  /^\\\[[^\n`]{1,1000}?\\\]/,
];
/** Characters of a formula in lines of its own. */
const LONGEST_BLOCK = 4100;
/** In lines of its own, and without an empty one: that ends a paragraph. */
const BLOCK = [/^\$\$(?:[^$\n]|\n(?![ \t]*\n)){1,4000}\$\$[ \t]*(?:\n|$)/, /^\\\[(?:[^\n]|\n(?![ \t]*\n)){1,4000}?\\\][ \t]*(?:\n|$)/];

const INLINE_START = /\$|\\[([]/;
/** What ends the paragraph before it. The text to look in begins in mid-line. */
const BLOCK_START = /\n(?=\$\$|\\\[)/g;
const PARAGRAPH_END = /\n[ \t]*\n/;
/** Of places that could be one. */
const MOST_TRIED = 20;

function token(type: string, patterns: readonly RegExp[], source: string): Tokens.Generic | undefined {
  for (const pattern of patterns) {
    const raw = pattern.exec(source)?.[0];
    if (raw !== undefined) return { type, raw, text: raw.trim() };
  }
  return undefined;
}

function inlineStart(source: string): number | void {
  const at = source.search(INLINE_START);
  if (at >= 0) return at;
}

function blockStart(source: string): number | void {
  const end = source.search(PARAGRAPH_END);
  let tried = 0;
  for (const { index } of (end < 0 ? source : source.slice(0, end)).matchAll(BLOCK_START)) {
    if (token("formula", BLOCK, source.slice(index + 1, index + 1 + LONGEST_BLOCK))) return index + 1;
    tried += 1;
    if (tried === MOST_TRIED) return;
  }
}

export function mathRules(escaped: (text: string) => string): NonNullable<MarkedOptions["extensions"]> {
  return {
    renderers: {
      math: ({ text }) => `<span class="math">${escaped(String(text))}</span>`,
      formula: ({ text }) => `<div class="math">${escaped(String(text))}</div>\n`,
    },
    childTokens: {},
    inline: [(source) => token("math", INLINE, source)],
    block: [(source) => token("formula", BLOCK, source)],
    startInline: [inlineStart],
    startBlock: [blockStart],
  };
}
