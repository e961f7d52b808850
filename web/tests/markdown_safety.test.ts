import assert from "node:assert/strict";
import { test } from "node:test";
import { markdownHtml } from "../src/markdown/blocks";
import { assertOwnHtml } from "./own_html";

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

test("raw HTML is escaped: only tags of the renderer's own are in the result", () => {
  for (const source of HOSTILE) {
    for (const text of [source, `> ${source}`, `1. ${source}`, `**${source}**`]) {
      assertOwnHtml(markdownHtml(text), text);
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
    '<p><a href="https://example.org/?a=1&amp;b=2" title="T (example.org)" target="_blank" rel="noopener noreferrer">label</a></p>\n',
  );
  assert.match(markdownHtml("<me@example.org>"), /<a href="mailto:me@example.org"/);
});

test("a remote picture is a link", () => {
  assert.equal(
    markdownHtml("![a cat](https://example.org/cat.png)"),
    '<p><a href="https://example.org/cat.png" title="example.org" target="_blank" rel="noopener noreferrer">a cat</a></p>\n',
  );
});

test("character references stay, and ampersands of prose and code show as written", () => {
  assert.equal(markdownHtml("&copy; &amp; & AT&T"), "<p>&copy; &amp; &amp; AT&amp;T</p>\n");
  assert.equal(markdownHtml("`&copy; <`"), "<p><code>&amp;copy; &lt;</code></p>\n");
});

test("a link says where it leads when its text says otherwise", () => {
  const trueHost = (source: string): string | undefined => /<span class="true-host">\((.*?)\)<\/span>/.exec(markdownHtml(source))?.[1];
  for (const [source, host] of [
    ["[https://bank.example/login](https://evil.example/)", "evil.example"],
    ["[www.bank.example](https://evil.example/)", "evil.example"],
    ["[bank.com](https://evil.example/)", "evil.example"],
    ["[**bank.com**/login](https://evil.example/)", "evil.example"],
    ["[bank&#46;com](https://evil.example/)", "evil.example"],
    ["[bank.com](mailto:thief@evil.example)", "thief@evil.example"],
    ["<https://bank.com@evil.example/>", "evil.example"],
    ["[https://b\u0430nk.com](https://b\u0430nk.com)", "xn--bnk-6cd.com"],
    ["[\u202emoc.knab](https://evil.example/)", "evil.example"],
    ["[ba\u200bnk.com](https://evil.example/)", "evil.example"],
    ["![https://bank.com/a.png](https://evil.example/a.png)", "evil.example"],
  ] as const) {
    assert.equal(trueHost(source), host, source);
  }
  for (const source of [
    "[bank.example](https://www.bank.example/path)",
    "https://bank.example/a?b=c",
    "[our page](https://evil.example/)",
    "[main.py](https://code.example/main.py)",
    "[a friend](mailto:ann@example.org)",
    "<ann@example.org>",
  ]) {
    assert.equal(trueHost(source), undefined, source);
  }
});

test("a title cannot hide the host that a link leads to", () => {
  assert.match(markdownHtml('[x](https://evil.example "https://bank.example")'), / title="https:\/\/bank\.example \(evil\.example\)"/);
  assert.match(markdownHtml("[x](https://evil.example)"), / title="evil\.example"/);
});

test("an address that is read as another one than it is written is no link", () => {
  for (const href of ["https://a\u202eb.example", "https://a\u200bb.example", "https://\u0000a.example", "https://a\u00a0b.example", "https://", "http://[", "https://exa%mple"]) {
    assert.doesNotMatch(markdownHtml(`[label](<${href}>)`), /<a /, JSON.stringify(href));
  }
});
