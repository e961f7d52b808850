// Of a very long text only the beginning is read as Markdown. What follows is shown as it is, in pieces that stay when
// more comes.
import { rawHtml } from "./render";

/** Characters: the longest answer of a model that people read is a fraction of it. */
const LONGEST_READ = 200_000;
const PIECE = 10_000;

/** Where the text ends that is read: at the end of a line, where there is one. The same however the text goes on. */
export function readTo(text: string): number {
  return text.length <= LONGEST_READ ? text.length : cut(text, 0, LONGEST_READ);
}

/** Between two lines, else between two characters. */
function cut(text: string, start: number, longest: number): number {
  const end = start + longest;
  const line = text.lastIndexOf("\n", end - 1) + 1;
  if (line > start) return line;
  const half = text.charCodeAt(end - 1);
  return half >= 0xd800 && half < 0xdc00 ? end - 1 : end;
}

export class Remainder {
  #text = "";
  #whole: string[] = [];

  /** The HTML of each piece of the text. */
  update(text: string): readonly string[] {
    if (!text.startsWith(this.#text)) {
      this.#text = "";
      this.#whole = [];
    }
    let start = this.#text.length;
    while (text.length - start > PIECE) {
      const end = cut(text, start, PIECE);
      this.#whole.push(rawHtml(text.slice(start, end)));
      start = end;
    }
    this.#text = text.slice(0, start);
    return start < text.length ? [...this.#whole, rawHtml(text.slice(start))] : this.#whole;
  }
}
