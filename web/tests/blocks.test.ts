import assert from "node:assert/strict";
import { test } from "node:test";
import { type Block, markdownHtml, MarkdownStream } from "../src/markdown/blocks";
import { CORPUS, pieces, seeded } from "./corpus";

const joined = (blocks: readonly Block[]): string => blocks.map((block) => block.html).join("");

function streamed(parts: readonly string[]): { stream: MarkdownStream; text: string } {
  const stream = new MarkdownStream();
  let text = "";
  for (const part of parts) {
    text += part;
    stream.update(text);
  }
  return { stream, text };
}

test("any split of a text gives the same final HTML", () => {
  const random = seeded(1);
  for (const source of [...CORPUS, CORPUS.join("\n\n")]) {
    const whole = markdownHtml(source);
    for (const longest of [1, 2, 3, 7, 40]) {
      const { stream, text } = streamed(pieces(source, longest, random));
      assert.equal(joined(stream.finish(text)), whole);
    }
  }
});

test("what is shown while streaming is what is shown at the end, unless a later definition names a link", () => {
  const random = seeded(2);
  const settled = CORPUS.filter((source) => !source.includes("[first][ref]"));
  for (const source of [...settled, settled.filter((text) => !text.includes("]: ")).join("\n\n")]) {
    for (let round = 0; round < 40; round += 1) {
      const { stream, text } = streamed(pieces(source, 1 + (round % 9), random));
      assert.equal(joined(stream.blocks), joined(new MarkdownStream().finish(text)), JSON.stringify(source));
    }
  }
});

test("a frozen block is not rendered again", () => {
  const stream = new MarkdownStream();
  const [first] = stream.update("One paragraph.\n\nAnother\n");
  stream.update("One paragraph.\n\nAnother\n\n- a list\n- that grows");
  assert.equal(stream.blocks[0], first);
});

test("a text that does not continue the one before begins anew", () => {
  const stream = new MarkdownStream();
  stream.update("First attempt.\n\nIts second paragraph\n\nthird\n");
  stream.update("Other");
  assert.equal(joined(stream.blocks), "<p>Other</p>\n");
  stream.update("");
  assert.equal(joined(stream.blocks), "");
});

test("a fence is settled as soon as it closes, and not before", () => {
  const stream = new MarkdownStream();
  const settled = (text: string) => stream.update(text).map((block) => block.settled);
  assert.deepEqual(settled("```js\n"), [false]);
  assert.deepEqual(settled("```js\nlet a;\n``"), [false]);
  assert.deepEqual(settled("```js\nlet a;\n```"), [true]);
  assert.deepEqual(settled("```js\nlet a;\n```\n\nAfter"), [true, false]);
  assert.deepEqual(new MarkdownStream().finish("```\nopen").map((block) => block.settled), [true]);
  assert.deepEqual(new MarkdownStream().update("````md\n```js\ninner\n```\n").map((block) => block.settled), [false]);
});

test("an open fence stays code while it grows", () => {
  const stream = new MarkdownStream();
  const source = "```python\nprint(1)\n\n# not a heading\n- not a list\n";
  for (let end = "```python\n".length; end <= source.length; end += 1) {
    const blocks = stream.update(source.slice(0, end));
    assert.equal(blocks.length, 1);
    assert.match(blocks[0]?.html ?? "", /<pre tabindex="0" data-language="python">/);
  }
});

test("headings follow the answer's own without a gap, whatever depths the text has chosen", () => {
  const levels = (source: string): string[] => [...markdownHtml(source).matchAll(/<h(\d)/g)].map((found) => found[1] ?? "");
  assert.deepEqual(levels("### a\n## b\n#### c\n## d"), ["3", "3", "4", "3"]);
  assert.deepEqual(levels("# a\n\n> ### b\n\n- ## c\n\n###### d"), ["3", "4", "4", "5"]);
  assert.deepEqual(levels("# a\n## b\n### c\n#### d\n##### e"), ["3", "4", "5", "6", "6"]);
});

test("a heading has its level before the text is complete, and keeps it", () => {
  const { stream, text } = streamed(["# a\n\ntext\n\n", "### b\n\nmore\n\n", "## c\n"]);
  assert.match(joined(stream.blocks), /<h3>a.*<h4>b.*<h4>c/s);
  assert.equal(joined(stream.blocks), joined(stream.finish(text)));
});
