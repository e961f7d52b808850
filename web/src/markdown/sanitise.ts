// The last gate before the page: whatever HTML our renderer and the highlighter make is sanitised here.
import DOMPurify, { type Config } from "dompurify";

const RULES = {
  RETURN_DOM_FRAGMENT: true,
  ALLOWED_TAGS: [
    "p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "del", "code", "pre", "blockquote", "ul", "ol", "li",
    "table", "thead", "tbody", "tr", "th", "td", "div", "span", "a", "input",
  ],
  ALLOWED_ATTR: ["class", "start", "data-language", "href", "title", "target", "rel", "type", "checked", "disabled", "tabindex"],
  ALLOWED_URI_REGEXP: /^(?:https?:\/\/|mailto:)/i,
  // The expression is for addresses; these hold none.
  ADD_URI_SAFE_ATTR: ["start", "data-language", "target", "rel", "type", "checked", "disabled", "tabindex"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
} satisfies Config;

DOMPurify.addHook("afterSanitizeAttributes", (element) => {
  if (element.tagName === "A") {
    element.setAttribute("target", "_blank");
    element.setAttribute("rel", "noopener noreferrer");
  } else if (element.tagName === "INPUT") {
    element.setAttribute("type", "checkbox");
    element.setAttribute("disabled", "");
  }
});

/** Put HTML into an element: as the nodes that were looked at, not as text to be parsed once more. */
export function showHtml(element: Element, html: string): void {
  element.replaceChildren(DOMPurify.sanitize(html, RULES));
}
