import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

declare const TRACES: string;
const STYLES = join(TRACES, "../../web/src/style");
const TOKENS = readFileSync(join(STYLES, "tokens.css"), "utf8");

/** The colours of a token in the light and in the dark. */
function colours(name: string): readonly [string, string] {
  const found = new RegExp(`--${name}: light-dark\\((#\\w{6}), (#\\w{6})\\)`).exec(TOKENS);
  assert.ok(found, name);
  return [found[1] as string, found[2] as string];
}

function luminance(colour: string): number {
  const parts = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16) / 255);
  const [red = 0, green = 0, blue = 0] = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one: string, other: string): number {
  const [light = 0, dark = 0] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

const GROUNDS = ["page", "side", "raised", "sunken", "bubble", "accent-soft"];
const ON: readonly (readonly [number, readonly string[], readonly string[]])[] = [
  [4.5, ["text", "text-soft"], [...GROUNDS, "danger-soft", "mark"]],
  [4.5, ["text-faint", "accent"], ["page", "side", "raised", "sunken"]],
  [4.5, ["accent-strong"], ["accent-soft"]],
  [4.5, ["danger"], ["page", "side", "raised", "danger-soft"]],
  [4.5, ["on-accent"], ["accent", "accent-strong"]],
  [4.5, ["code-keyword", "code-string", "code-number", "code-title", "code-comment", "code-type"], ["sunken", "page"]],
  [3, ["line-field", "waiting"], ["page", "side", "raised"]],
];

test("text can be read, and fields and signs seen, in both themes", () => {
  for (const [least, inks, grounds] of ON) {
    for (const ink of inks) {
      for (const ground of grounds) {
        for (const theme of [0, 1] as const) {
          const found = contrast(colours(ink)[theme], colours(ground)[theme]);
          assert.ok(found >= least, `${ink} on ${ground}, ${["light", "dark"][theme]}: ${found.toFixed(2)} < ${least}`);
        }
      }
    }
  }
});

test("colours stand in the tokens only, and every token that is used is there", () => {
  const known = new Set([...TOKENS.matchAll(/^\s+(--[\w-]+):/gm)].map((found) => found[1]));
  for (const name of readdirSync(STYLES).filter((each) => each.endsWith(".css") && each !== "tokens.css")) {
    const style = readFileSync(join(STYLES, name), "utf8");
    assert.deepEqual(style.match(/#[\da-f]{3,8}\b|\b(?:rgb|hsl|oklch)a?\(/gi), null, name);
    for (const [, token] of style.matchAll(/var\((--[\w-]+)[),]/g)) assert.ok(known.has(token) || token === "--visible", `${name}: ${token}`);
  }
});
