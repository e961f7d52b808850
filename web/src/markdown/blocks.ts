// A growing Markdown text as a list of blocks. Finished blocks are frozen: only what follows them is parsed again.
import type { Links, Token } from "marked";
import { boundedLexer } from "./bounds";
import { Remainder, readTo } from "./remainder";
import { blockHtml, type Outline, RULES } from "./render";

export interface Block {
  readonly html: string;
  /** No more text will join it, so that its code may be highlighted. */
  readonly settled: boolean;
}

/** A fenced block whose closing fence is there: a last line of at least as many of the same marks as the first has. */
function isClosedFence(token: Token): boolean {
  if (token.type !== "code") return false;
  const marks = /^ {0,3}(`{3,}|~{3,})/.exec(token.raw)?.[1];
  const end = token.raw.trimEnd();
  const lastLine = end.slice(end.lastIndexOf("\n") + 1).trim();
  return marks !== undefined && end.includes("\n") && lastLine.startsWith(marks) && lastLine === marks.charAt(0).repeat(lastLine.length);
}

/**
 * The blocks before the last one are finished once the last one's first line is complete: a line that is still being
 * written can turn into a continuation (`2` into `2. next item`).
 */
function finishedCount(tokens: readonly Token[]): number {
  let last = tokens.length - 1;
  while (last >= 0 && tokens[last]?.type === "space") last -= 1;
  return last > 0 && tokens[last]?.raw.includes("\n") ? last : 0;
}

export class MarkdownStream {
  #text = "";
  #frozenText = "";
  #frozen: Block[] = [];
  #outline: Outline = [];
  #links: Links = noLinks();
  #blocks: readonly Block[] = [];
  #readText = "";
  #read: readonly Block[] = [];
  #remainder = new Remainder();

  get blocks(): readonly Block[] {
    return this.#blocks;
  }

  /** Read the text so far. A text that does not continue the one before begins anew. */
  update(source: string): readonly Block[] {
    const text = normalised(source);
    if (text === this.#text) return this.#blocks;
    const end = readTo(text);
    this.#text = text;
    this.#blocks = [...this.#readGrowing(text.slice(0, end)), ...this.#shownAsIs(text.slice(end))];
    return this.#blocks;
  }

  /** Read the whole text once more: a definition at its end may name a link at its beginning. */
  finish(source: string): readonly Block[] {
    this.#restart();
    this.#text = normalised(source);
    const end = readTo(this.#text);
    this.#blocks = [...blocksOf(this.#lex(this.#text.slice(0, end)), [], true), ...this.#shownAsIs(this.#text.slice(end))];
    return this.#blocks;
  }

  #readGrowing(text: string): readonly Block[] {
    if (text === this.#readText) return this.#read;
    if (!text.startsWith(this.#frozenText)) this.#restart();
    const tail = text.slice(this.#frozenText.length);
    const tokens = this.#lex(tail);
    const finished = finishedCount(tokens);
    this.#readText = text;
    const outline = [...this.#outline];
    this.#read = [...this.#freeze(tokens.slice(0, finished), tail, outline), ...blocksOf(tokens.slice(finished), outline, false)];
    return this.#read;
  }

  #shownAsIs(text: string): Block[] {
    return this.#remainder.update(text).map((html) => ({ html, settled: true }));
  }

  #restart(): void {
    this.#frozenText = "";
    this.#frozen = [];
    this.#outline = [];
    this.#links = noLinks();
    this.#readText = "";
    this.#read = [];
  }

  #lex(text: string): Token[] {
    const lexer = boundedLexer(text, RULES);
    Object.assign(lexer.tokens.links, this.#links);
    return lexer.lex(text);
  }

  #freeze(tokens: readonly Token[], tail: string, outline: Outline): readonly Block[] {
    const blocks = [...this.#frozen, ...blocksOf(tokens, outline, true)];
    const raw = tokens.map((token) => token.raw).join("");
    if (!tail.startsWith(raw)) return blocks;
    this.#frozenText += raw;
    this.#frozen = blocks;
    this.#outline = [...outline];
    for (const token of tokens) {
      if (token.type === "def") this.#links[token.tag] ??= { href: token.href, title: token.title };
    }
    return blocks;
  }
}

/** Whatever a definition is called, it is not there before it was written. */
function noLinks(): Links {
  return Object.create(null) as Links;
}

function normalised(source: string): string {
  return source.includes("\r") ? source.replace(/\r\n?/g, "\n") : source;
}

function blocksOf(tokens: readonly Token[], outline: Outline, settled: boolean): Block[] {
  return tokens
    .filter((token) => token.type !== "space" && token.type !== "def")
    .map((token) => ({ html: blockHtml(token, outline), settled: settled || isClosedFence(token) }));
}

/** The HTML of a finished text. */
export function markdownHtml(source: string): string {
  return new MarkdownStream().finish(source).map((block) => block.html).join("");
}
