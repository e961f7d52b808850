// Markdown texts that exercise each kind of block and each way in which one block can become part of another.
export const CORPUS: readonly string[] = [
  "",
  "Hello.",
  "# Title\n\nA paragraph with **bold**, *emphasis*, `code`, ~~gone~~ and [a link](https://example.org/a?b=1&c=2).\n\nAnother one.\n",
  "1. one\n\n2. two\n\n   continued\n\n3. three\n\nAfter it.\n",
  "- a\n  - b\n    - c\n\n- d\n\n  ```python\n  print('in a list')\n  ```\n\n- e\n\nText\n",
  "* star\n\n*emphasis, not a star*\n\n* star again\n",
  "Before\n```js\nconst a = `${b}`;\n\n\n// blank lines\n```\nAfter\n",
  "~~~\ntilde ``` fence\n~~~\n\n```\nnever closed\n",
  "````md\n```js\ninner\n```\n````\n\nend\n",
  "Setext\n======\n\nother\n---\n\n---\n\n***\nText ***bold italic***\n",
  "> quote\nlazy continuation\n\n> another\n> > nested\n\nend\n",
  "| a | b |\n|---|:-:|\n| 1 | 2 |\n| `x` | **y** |\n\ntext\n",
  "not | a table\nstill not\n\na | b\n--|--\n1 | 2\n",
  "    indented code\n\n    more of it\n\nText\n    not code\n",
  "<div onclick=\"alert(1)\">\n\nraw **html**\n\n</div>\n\n<b>inline</b> text <!-- comment -->\n\n<pre>\n\nopen\n",
  "- [ ] open\n- [x] done\n- plain\n",
  "[first][ref] and later\n\nText in between.\n\n[ref]: https://example.org/first \"Title\"\n\n[second][ref]\n",
  "[ref]: https://example.org/half\n\nUse [it][ref].\n\n[ref]: https://example.org/ignored\n",
  "Line one  \nline two\\\nline three\nline four\n",
  "Carriage\r\nreturns\r\n\r\n- a\r\n- b\r\n\rend\r",
  "2024\n\n2. a list that starts at two\n\n#not a heading\n\n#\n\n# heading\n",
  "Ends in a list\n\n- a\n\n-\n\n- c\n\n+ other\n\n+ list\n",
  "Emoji 👩‍👩‍👧 and ünïcödé\n\n中文段落。\n\n- 中\n- 文\n",
  "A\n\n\n\n\nB\n   \n\t\nC\n",
  "1) a\n2) b\n\n10. ten\n\n1\n\n1.\n\n1. x\n",
  "Between $a_1 * b_2 * c$ and \\(x_{i} * y\\), \\[ z^* \\] and $$\\sum_i x_i$$, but $5 and $10 *are* amounts\n\n$$\na_1 * b\n= \\frac{*}{*}\n$$\n\nText\n\\[\nc_1 * d\n\\]\n",
  "[^1] and https://example.org/auto, www.example.org, me@example.org\n\n![picture](https://example.org/p.png)\n",
];

/** A repeatable source of numbers in [0, 1). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** The text in pieces of at most `longest` characters. */
export function pieces(text: string, longest: number, random: () => number): string[] {
  const found: string[] = [];
  for (let start = 0; start < text.length; ) {
    const length = 1 + Math.floor(random() * longest);
    found.push(text.slice(start, start + length));
    start += length;
  }
  return found;
}
