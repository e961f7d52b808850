// Markdown tokens to HTML text, without a DOM. Raw HTML is escaped here, and the result is sanitised again where it
// meets the page (sanitise.ts).
import { Parser, Renderer, type Tokens } from "marked";

const LINKABLE = /^(?:https?:\/\/|mailto:)[^\s\u0000-\u001f]+$/i;
const LANGUAGE = /^[\w+#.-]{1,30}/;
const ESCAPES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ESCAPES[character] ?? character);
}

/** Character references that the author wrote stay references. */
function escapedProse(text: string): string {
  return text.replace(/&(?!#\d{1,7};|#x[\da-f]{1,6};|\w{1,31};)|[<>"']/gi, (character) => ESCAPES[character] ?? character);
}

function anchor(href: string, label: string, title?: string | null): string {
  if (!LINKABLE.test(href)) return label;
  const tip = title ? ` title="${escapedProse(title)}"` : "";
  return `<a href="${escaped(href)}"${tip} target="_blank" rel="noopener noreferrer">${label}</a>`;
}

class ChatRenderer extends Renderer {
  override html(token: Tokens.HTML | Tokens.Tag): string {
    return token.block ? `<p class="raw">${escaped(token.text.trimEnd())}</p>\n` : escaped(token.text);
  }

  override text(token: Tokens.Text | Tokens.Escape): string {
    return "tokens" in token && token.tokens ? this.parser.parseInline(token.tokens) : escapedProse(token.text);
  }

  override code({ text, lang }: Tokens.Code): string {
    const language = LANGUAGE.exec(lang ?? "")?.[0].toLowerCase() ?? "";
    const name = language ? ` data-language="${escaped(language)}"` : "";
    return `<pre${name}><code>${escaped(text)}\n</code></pre>\n`;
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
    return `<div class="table">${super.table(token)}</div>\n`;
  }

  override tablecell({ tokens, header, align }: Tokens.TableCell): string {
    const tag = header ? "th" : "td";
    const alignment = align ? ` class="align-${align}"` : "";
    return `<${tag}${alignment}>${this.parser.parseInline(tokens)}</${tag}>\n`;
  }
}

export const RULES = { gfm: true, breaks: false, renderer: new ChatRenderer() };

export function blockHtml(token: Tokens.Generic): string {
  return Parser.parse([token], RULES);
}
