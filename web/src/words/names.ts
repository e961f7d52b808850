// A name that somebody else chose, within a sentence of ours.

const TURNS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const FROM_THE_RIGHT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/** What it says cannot turn the direction of the words around it: without signs that do, and set apart when it is written from the right. */
export function inSentence(name: string): string {
  const plain = name.replace(TURNS, "");
  return FROM_THE_RIGHT.test(plain) ? `\u2068${plain}\u2069` : plain;
}
