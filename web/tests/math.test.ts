// Formulas as they were written, and dollars that begin none.
import assert from "node:assert/strict";
import { test } from "node:test";
import { markdownHtml } from "../src/markdown/blocks";

/** The formulas in the HTML of a text, with what was escaped as it was. */
function formulas(source: string): string[] {
  const unescaped = (html: string): string => html.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");
  return [...markdownHtml(source).matchAll(/<(span|div) class="math">([\s\S]*?)<\/\1>/g)].map(([, , text]) => unescaped(text ?? ""));
}

test("a formula keeps its marks", () => {
  const sources = [
    "$a_1 * b_2 * c$",
    "$x < y & z > 1$",
    String.raw`\(x_{i}^{*} * y\)`,
    String.raw`\[ \frac{a_1}{b_1} \\ c \]`,
    String.raw`$$\sum_{i=1}^n x_i$$`,
    String.raw`$\text{price in \$} * 2$`,
  ];
  for (const source of sources) {
    assert.deepEqual(formulas(source), [source]);
    assert.deepEqual(formulas(`It is ${source}, *always*.`), [source]);
    assert.match(markdownHtml(`It is ${source}, *always*.`), /<em>always<\/em>/);
    assert.deepEqual(formulas(`- in a list: ${source}\n\n| a |\n|---|\n| ${source} |`).length, 2);
  }
});

test("a formula in lines of its own is a block", () => {
  const source = "$$\na_1 * b\n= c * d_1\n$$";
  assert.deepEqual(formulas(`Before\n\n${source}\n\nafter *it*`), [source]);
  assert.deepEqual(formulas(`\\[\n- x_1\n- y_1\n\\]\nafter`), ["\\[\n- x_1\n- y_1\n\\]"]);
});

test("amounts, variables of a shell, code and what is escaped are none", () => {
  for (const source of ["from $5 to $10", "**$0.0000**: 5 requests, $3", "$HOME/$USER and *this*", "costs 5$ or 6$", "`$a_1$`", "```\n$$\na\n$$\n```", "\\$a * b\\$", "a $ b $ c", "$$", "$ $"]) {
    assert.deepEqual(formulas(source), [], source);
  }
  assert.match(markdownHtml("from $5 to *about* $10"), /<em>about<\/em>/);
});

test("nothing in a formula is HTML", () => {
  assert.ok(!markdownHtml("$<img src=x onerror=alert(1)>$\n\n$$\n<script>alert(1)</script>\n$$").match(/<(?:img|script)/));
});

test("a text of dollars is read at once", () => {
  const begun = performance.now();
  for (const text of ["$".repeat(100_000), "$a ".repeat(40_000), "$$\na\n".repeat(20_000), "\\(".repeat(50_000), "\\[\n".repeat(40_000)]) markdownHtml(text);
  assert.ok(performance.now() - begun < 10_000);
});
