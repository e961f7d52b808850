import assert from "node:assert/strict";

/** The elements that our own rendering makes, and what it gives them. */
const OWN_TAG =
  /^<\/?(?:p|br|hr|h[1-6]|strong|em|del|code|pre|blockquote|ul|ol|li|table|thead|tbody|tr|t[hd]|div|a|span|input)(?: (?:class="[\w -]+"|start="\d+"|tabindex="0"|data-language="[\w+#.-]+"|href="(?:https?:\/\/|mailto:)[^"<>\s]+"|title="[^"<>]*"|target="_blank"|rel="noopener noreferrer"|type="checkbox"|(?:checked|disabled)=""))*>$/;
const VOID = new Set(["br", "hr", "input"]);

/** Only tags of the renderer's own, each of them closed where it was opened. */
export function assertOwnHtml(html: string, source: string): void {
  const open: string[] = [];
  for (const tag of html.match(/<[^>]*>?/g) ?? []) {
    assert.match(tag, OWN_TAG, `${JSON.stringify(source)} gave ${tag}`);
    const name = /\w+/.exec(tag)?.[0] ?? "";
    if (tag.startsWith("</")) assert.equal(name, open.pop(), `${JSON.stringify(source)} gave ${html}`);
    else if (!VOID.has(name)) open.push(name);
  }
  assert.deepEqual(open, [], `${JSON.stringify(source)} gave ${html}`);
}
