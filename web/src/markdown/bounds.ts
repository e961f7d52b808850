// What an answer may ask of the page. marked takes exponential time for quotes that become shallower line by line,
// quadratic time for some long lines, and a call of its own for each level: beyond these bounds text stays as it is.
import { Lexer, type MarkedOptions, type Token, Tokenizer, type Tokens } from "marked";

/** Of lists, quotes and emphasis within one another. */
const DEEPEST = 20;
/** Characters of one paragraph, heading, cell or the like; and those times the marks in it, each of which is looked for a partner. */
const LONGEST_RUN = 10_000;
const MOST_SEARCHED = 1_000_000;
const MARK = /[*_~`[\]<!@\\$]/g;
/** Quotes within quotes, and how many more for each character. */
const NESTED_QUOTES = { always: 100, each: 0.1 };
/** Of a table. */
const MOST_COLUMNS = 100;

/** As raw HTML is: in its own lines, and nothing of it has a meaning. */
function asWritten(raw: string): Tokens.HTML {
  return { type: "html", raw, text: raw, pre: false, block: true };
}

/** Of one text. */
class BoundedTokenizer extends Tokenizer {
  #depth = 0;
  #nestedQuotes: number;

  constructor(length: number) {
    super();
    this.#nestedQuotes = NESTED_QUOTES.always + NESTED_QUOTES.each * length;
  }

  override blockquote(source: string): Tokens.Blockquote | undefined {
    const found = this.rules.block.blockquote.exec(source)?.[0];
    if (found === undefined) return undefined;
    if (this.#depth > 0) this.#nestedQuotes -= 1;
    // The kind of a token is its own: where a quote was looked for, whatever has its text will do.
    if (this.#depth >= DEEPEST || this.#nestedQuotes < 0) return asWritten(found) as unknown as Tokens.Blockquote;
    return this.#deeper(() => super.blockquote(source));
  }

  override list(source: string): Tokens.List | undefined {
    const found = this.#depth < DEEPEST ? null : this.rules.block.list.exec(source)?.[0];
    if (found) return asWritten(found) as unknown as Tokens.List;
    return this.#deeper(() => super.list(source));
  }

  override table(source: string): Tokens.Table | undefined {
    const found = super.table(source);
    return found && found.header.length > MOST_COLUMNS ? (asWritten(found.raw) as unknown as Tokens.Table) : found;
  }

  #deeper<Found>(read: () => Found): Found {
    this.#depth += 1;
    try {
      return read();
    } finally {
      this.#depth -= 1;
    }
  }
}

function isTooLong(run: string): boolean {
  return run.length > LONGEST_RUN || run.length * (run.match(MARK)?.length ?? 0) > MOST_SEARCHED;
}

class BoundedLexer extends Lexer {
  #depth = 0;

  override inlineTokens(source: string, tokens: Token[] = []): Token[] {
    if (this.#depth >= DEEPEST || isTooLong(source)) {
      tokens.push({ type: "text", raw: source, text: source, escaped: false });
      return tokens;
    }
    this.#depth += 1;
    try {
      return super.inlineTokens(source, tokens);
    } finally {
      this.#depth -= 1;
    }
  }
}

/** Reads one text with these rules. */
export function boundedLexer(text: string, rules: MarkedOptions): Lexer {
  return new BoundedLexer({ ...rules, tokenizer: new BoundedTokenizer(text.length) });
}
