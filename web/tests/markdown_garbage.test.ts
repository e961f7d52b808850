import assert from "node:assert/strict";
import { test } from "node:test";
import { type Block, markdownHtml, MarkdownStream } from "../src/markdown/blocks";
import { highlightedHtml } from "../src/markdown/highlight";
import { pieces, seeded } from "./corpus";
import { assertOwnHtml } from "./own_html";

const joined = (blocks: readonly Block[]): string => blocks.map((block) => block.html).join("");

/** What Markdown, HTML and addresses are made of, and what hides in text. */
const PARTS: readonly string[] = [
  ..."*_~`[]()<>!|-#+=&\\\"':;/ \t\n.0a",
  ...["\n\n", "    ", "```", "~~~", "```js\n", "1. ", "- ", "> ", "- [x] ", "[a]: ", "](", "![", "|-|", "<!--", "-->", "<![CDATA[", "]]>", "<?"],
  ...["<script>", "</script>", "<img src=x onerror=a()>", "<svg onload=a()>", "<math><mi xlink:href=", "<style>", "<a href=", "</p>", "<b", "<input name=body>", "<form id=chat>"],
  ...["javascript:a()", "&#106;avascript:", "java\tscript:", "vbscript:", "data:text/html,", "//a.b", "https://a.b/", "http://a@b", "mailto:a@b.c", "www.a.b", "a@b.c"],
  ...["&lt;", "&#60;", "&#x3c;", "&NewLine;", "&colon;", "&#0;", "&#x110000;", "\u0000", "\u202e", "\u2066", "\u200b", "\ufeff", "\ud800", "\u0301\u0302", "\r", "\r\n", "\u2028", "\u3000"],
  ...["constructor", "__proto__", "[constructor]", "[__proto__]: https://a.b", "[toString]", "é", "中", "👩‍👩‍👧"],
];

function garbage(random: () => number): string {
  const pick = (): string => PARTS[Math.floor(random() * PARTS.length)] ?? "";
  const length = 1 + Math.floor(random() * 40);
  const repeated = random() < 0.2 ? pick() + pick() : "";
  return Array.from({ length }, pick).join("") + repeated.repeat(Math.floor(random() * 30));
}

test("whatever is written, only the renderer's own elements, attributes and addresses come of it", () => {
  const random = seeded(3);
  for (let round = 0; round < 6000; round += 1) {
    const source = garbage(random);
    assertOwnHtml(markdownHtml(source), source);
  }
});

test("garbage that is cut anywhere gives what it gives as a whole, and no more on the way", () => {
  const random = seeded(4);
  for (let round = 0; round < 500; round += 1) {
    const source = garbage(random);
    const stream = new MarkdownStream();
    let text = "";
    for (const piece of pieces(source, 1 + (round % 7), random)) {
      text += piece;
      assertOwnHtml(joined(stream.update(text)), text);
    }
    assert.equal(joined(stream.finish(text)), markdownHtml(source), JSON.stringify(source));
  }
});

test("a link's definition may have any name", () => {
  for (const name of ["constructor", "__proto__", "toString"]) {
    const stream = new MarkdownStream();
    stream.update(`[${name}]: https://a.b\n\nText\n\nmore\n`);
    assert.match(joined(stream.update(`[${name}]: https://a.b\n\nText\n\nmore\n\nwith [${name}]`)), /with <a href="https:\/\/a\.b"/, name);
    assert.doesNotMatch(markdownHtml(`[${name}]`), /<a /);
  }
});

/** Texts that are small for what they ask: without bounds each takes seconds, minutes, or more calls than there may be. */
const BOMBS: Readonly<Record<string, string>> = {
  "quotes that become shallower": Array.from({ length: 24 }, (_, at) => `${"> ".repeat(24 - at)}x`).join("\n"),
  "the same in a list": Array.from({ length: 24 }, (_, at) => `${at === 0 ? "- " : "  "}${"> ".repeat(24 - at)}x`).join("\n"),
  "quotes in quotes": `${"> ".repeat(20_000)}x`,
  "lists in lists": `${"- ".repeat(20_000)}x`,
  "lists by indentation": Array.from({ length: 600 }, (_, at) => `${"  ".repeat(at)}- x`).join("\n"),
  "emphasis in emphasis": `${"*a **b ".repeat(3000)}${"c** d*".repeat(3000)}`,
  "links in pictures": `${"![a".repeat(5000)}${"](https://a.b)".repeat(5000)}`,
  "marks without a partner": "é[**".repeat(2500),
  "words with underscores": "a_".repeat(50_000),
  "an address that never ends": `${"a.".repeat(50_000)}@`,
  "code spans": Array.from({ length: 2000 }, (_, at) => "`".repeat(1 + (at % 70))).join(" a "),
  "two megabytes of prose": "Some *words* of a `long` answer, as [models](https://a.b) write them.\n\n".repeat(28_000),
  "two megabytes in a line": "word ".repeat(400_000),
  "five thousand items": "- item\n".repeat(5000),
  "ten thousand columns": ["a", "-", "b"].map((cell) => `|${`${cell}|`.repeat(10_000)}`).join("\n"),
  "an open fence": `\`\`\`js\n${"let a = 1;\n".repeat(180_000)}`,
};

for (const [name, source] of Object.entries(BOMBS)) {
  test(`a bomb is read in bounded time: ${name}`, () => {
    const began = performance.now();
    const html = markdownHtml(source);
    const took = performance.now() - began;
    assert.ok(took < 3000, `${Math.round(took)} ms`);
    if (html.length < 1_000_000) assertOwnHtml(html, name);
  });
}

test("levels beyond the deepest are shown as they are written", () => {
  assert.match(markdownHtml(`${"> ".repeat(30)}x`), /^(?:<blockquote>\n){20}<p class="raw">(?:&gt; ){10}x<\/p>\n(?:<\/blockquote>\n){20}$/);
});

test("a table of more columns than anybody reads is shown as it is written", () => {
  const table = (columns: number): string => ["a", "-"].map((cell) => `|${`${cell}|`.repeat(columns)}`).join("\n");
  assert.match(markdownHtml(table(100)), /<table>/);
  assert.match(markdownHtml(`${table(101)}\n\nafter`), /^<p class="raw">\|a\|.*<p>after<\/p>/s);
});

test("of a very long text the beginning is Markdown and the rest text, streamed or not, and no letter is lost", () => {
  const source = `${"**bold** text\n\n".repeat(14_000)}<b>end</b> 👩‍👩‍👧`;
  const html = markdownHtml(source);
  assert.match(html, /^<p><strong>bold<\/strong> text<\/p>/);
  assert.match(html, /\*\*bold\*\* text\n\n&lt;b&gt;end&lt;\/b&gt; 👩‍👩‍👧<\/p>\n$/);
  assert.equal(html.match(/bold/g)?.length, 14_000);
  const stream = new MarkdownStream();
  const places = [1000, 199_990, 200_000, 200_001, 209_999, 215_000, source.length];
  for (const end of places) stream.update(source.slice(0, end));
  assert.equal(joined(stream.blocks), html);
  assert.equal(joined(stream.finish(source)), html);
});

test("pieces of a long text that stays as it is are not made again, and cut no character in two", () => {
  const stream = new MarkdownStream();
  const source = "👍".repeat(115_000);
  const before = stream.update(source.slice(0, 225_000));
  const after = stream.update(source);
  assert.equal(after[1]?.html, before[1]?.html);
  for (const { html } of after) assert.doesNotMatch(html, /[\ud800-\udbff](?![\udc00-\udfff])/);
});

test("code that would take the highlighter long is shown without colours", () => {
  assert.match(highlightedHtml("let a = 1;\n", "js") ?? "", /hljs-keyword/);
  assert.equal(highlightedHtml("e1".repeat(25_000), "typescript"), null);
  assert.equal(highlightedHtml("0x".repeat(600), "cpp"), null);
  assert.equal(highlightedHtml("let a = 1;\n".repeat(20_000), "js"), null);
  assert.notEqual(highlightedHtml("let a = 1;\n".repeat(1500), "js"), null);
});
