import assert from "node:assert/strict";
import { test } from "node:test";
import { markdownHtml } from "../src/markdown/blocks";

const HOSTILE: readonly string[] = [
  "<script>alert(1)</script>",
  "<img src=x onerror=alert(1)>",
  "text <img src=x onerror=alert(1)> text",
  "<kbd><img src=x onerror=alert(1)>&lt;</kbd>",
  "<pre><svg onload=alert(1)></pre>",
  "<a href=\"javascript:alert(1)\">x</a>",
  "`<b>`\n\n    <i>\n\n```<u>\n<s>\n```",
  "| <b> |\n|---|\n| <i onclick=x> |",
  "[a\"><img src=x onerror=1>](https://example.org/\"onmouseover=\"alert(1))",
  "[x](https://example.org \"title\\\" onload=alert(1)\")",
  "![\"><script>](https://example.org/a.png)",
  "![<script>](javascript:alert(1))",
  "```js\" onload=\"alert(1)\nx\n```",
  "<!-- --><script>alert(1)</script>",
  "# <style>*{display:none}</style>",
  "- <iframe src=https://example.org></iframe>",
  "<https://example.org/<script>>",
];

/** The elements that our own rendering makes, and what it gives them. */
const OWN_TAG =
  /^<\/?(?:p|br|hr|h[1-6]|strong|em|del|code|pre|blockquote|ul|ol|li|table|thead|tbody|tr|t[hd]|div|a|input)(?: (?:class="[\w -]+"|start="\d+"|data-language="[\w+#.-]+"|href="(?:https?:\/\/|mailto:)[^"<>\s]+"|title="[^"<>]*"|target="_blank"|rel="noopener noreferrer"|type="checkbox"|(?:checked|disabled)=""))*>$/;

test("raw HTML is escaped: only tags of the renderer's own are in the result", () => {
  for (const source of HOSTILE) {
    for (const text of [source, `> ${source}`, `1. ${source}`, `**${source}**`]) {
      for (const tag of markdownHtml(text).match(/<[^>]*>?/g) ?? []) {
        assert.match(tag, OWN_TAG, `${text} gave ${tag}`);
      }
    }
  }
});

test("the text of raw HTML stays readable", () => {
  assert.equal(markdownHtml("<details>\nHidden & shown\n</details>"), '<p class="raw">&lt;details&gt;\nHidden &amp; shown\n&lt;/details&gt;</p>\n');
  assert.equal(markdownHtml("a <b>bold</b>"), "<p>a &lt;b&gt;bold&lt;/b&gt;</p>\n");
});

test("links lead only to http, https and mailto", () => {
  for (const href of [
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    "java\tscript:alert(1)",
    "&#106;avascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "file:///etc/passwd",
    "blob:https://example.org/1",
    "//example.org/",
    "/admin/",
    "?next=1",
  ]) {
    assert.doesNotMatch(markdownHtml(`[label](${href})`), /<a /, href);
    assert.doesNotMatch(markdownHtml(`<${href}>`), /<a /, href);
    assert.doesNotMatch(markdownHtml(`![label](${href})`), /<(?:a|img) /, href);
  }
  assert.equal(
    markdownHtml("[label](https://example.org/?a=1&b=2 'T')"),
    '<p><a href="https://example.org/?a=1&amp;b=2" title="T" target="_blank" rel="noopener noreferrer">label</a></p>\n',
  );
  assert.match(markdownHtml("<me@example.org>"), /<a href="mailto:me@example.org"/);
});

test("a remote picture is a link", () => {
  assert.equal(
    markdownHtml("![a cat](https://example.org/cat.png)"),
    '<p><a href="https://example.org/cat.png" target="_blank" rel="noopener noreferrer">a cat</a></p>\n',
  );
});

test("character references stay, and ampersands of prose and code show as written", () => {
  assert.equal(markdownHtml("&copy; &amp; & AT&T"), "<p>&copy; &amp; &amp; AT&amp;T</p>\n");
  assert.equal(markdownHtml("`&copy; <`"), "<p><code>&amp;copy; &lt;</code></p>\n");
});
