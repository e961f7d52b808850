// Markdown tokens to HTML text, without a DOM. Raw HTML is escaped here, and the result is sanitised again where it
// meets the page (sanitise.ts).
import { Parser, Renderer, type Tokens } from "marked";
import { addressOf, hostOf, misleads } from "./address";
import { mathRules } from "./math";

const LANGUAGE = /^[\w+#.-]{1,30}/;
const ESCAPES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ESCAPES[character] ?? character);
}

/** Character references that the author wrote stay references. */
function escapedProse(text: string): string {
  return text.replace(/&(?!#\d{1,7};|#x[\da-f]{1,6};|\w{1,31};)|[<>"']/gi, (character) => ESCAPES[character] ?? character);
}

/** Text in its own lines, of which nothing has a meaning. */
export function rawHtml(text: string): string {
  return `<p class="raw">${escaped(text.trimEnd())}</p>\n`;
}

/** Nobody follows a link without being able to see where it leads: on the link, and in its text when that says otherwise. */
function anchor(href: string, label: string, title?: string | null): string {
  const address = addressOf(href);
  if (!address) return label;
  const host = hostOf(address);
  const tip = title ? `${title} (${host})` : host;
  const shown = misleads(textOf(label), address) ? `${label} <span class="true-host">(${escaped(host)})</span>` : label;
  return `<a href="${escaped(href)}" title="${escapedProse(tip)}" target="_blank" rel="noopener noreferrer">${shown}</a>`;
}

const REFERENCES: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', period: ".", sol: "/", colon: ":" };

/** What is read of this HTML. */
function textOf(html: string): string {
  return html.replace(/<[^>]*>/g, "").replace(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|(\w{1,31}));/gi, (reference, decimal?: string, hex?: string, name = "") => {
    const code = decimal ? Number(decimal) : hex ? Number.parseInt(hex, 16) : 0;
    return code > 0 && code < 0x110000 ? String.fromCodePoint(code) : (REFERENCES[name as string] ?? reference);
  });
}

/** The depths of the headings that the text stands under, outermost first. */
export type Outline = number[];

/** An answer's own heading is of the second level. Those in it follow without a gap, whatever depths it has chosen. */
const ABOVE = 2;
const DEEPEST = 6;

class ChatRenderer extends Renderer {
  outline: Outline = [];

  override heading({ tokens, depth }: Tokens.Heading): string {
    while ((this.outline.at(-1) ?? 0) >= depth) this.outline.pop();
    this.outline.push(depth);
    const level = Math.min(DEEPEST, ABOVE + this.outline.length);
    return `<h${level}>${this.parser.parseInline(tokens)}</h${level}>\n`;
  }

  override html(token: Tokens.HTML | Tokens.Tag): string {
    return token.block ? rawHtml(token.text) : escaped(token.text);
  }

  override text(token: Tokens.Text | Tokens.Escape): string {
    return "tokens" in token && token.tokens ? this.parser.parseInline(token.tokens) : escapedProse(token.text);
  }

  override code({ text, lang }: Tokens.Code): string {
    const language = LANGUAGE.exec(lang ?? "")?.[0].toLowerCase() ?? "";
    const name = language ? ` data-language="${escaped(language)}"` : "";
    return `<div class="code"><pre tabindex="0"${name}><code>${escaped(text)}\n</code></pre></div>\n`;
  }

  override codespan({ text }: Tokens.Codespan): string {
    return `<code>${escaped(text)}</code>`;
  }

  override link({ href, title, tokens }: Tokens.Link): string {
    return anchor(href, this.parser.parseInline(tokens), title);
  }

  /** A picture from elsewhere is a link: the page loads nothing that an answer names. */
  override image({ href, title, text }: Tokens.Image): string {
    return anchor(href, escapedProse(text || href), title);
  }

  override table(token: Tokens.Table): string {
    return `<div class="table" tabindex="0">${super.table(token)}</div>\n`;
  }

  override tablecell({ tokens, header, align }: Tokens.TableCell): string {
    const tag = header ? "th" : "td";
    const alignment = align ? ` class="align-${align}"` : "";
    return `<${tag}${alignment}>${this.parser.parseInline(tokens)}</${tag}>\n`;
  }
}

const renderer = new ChatRenderer();
export const RULES = { gfm: true, breaks: false, renderer, extensions: mathRules(escaped) };

/** `outline` is that of the text before, and then that of the text up to the end of this block. */
export function blockHtml(token: Tokens.Generic, outline: Outline): string {
  renderer.outline = outline;
  return Parser.parse([token], RULES);
}
