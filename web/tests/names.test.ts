import assert from "node:assert/strict";
import { test } from "node:test";
import { inSentence } from "../src/words/names";

test("a name in a sentence cannot turn the words around it", () => {
  assert.equal(inSentence("Plan for 2026"), "Plan for 2026");
  assert.equal(inSentence("a\u202ecba\u2069\u2067 \u200f"), "acba ");
  assert.equal(inSentence("תוכנית"), "\u2068תוכנית\u2069");
  assert.equal(inSentence("\u2069خطة\u202e"), "\u2068خطة\u2069");
  assert.equal(inSentence("family 👩‍👩‍👧"), "family 👩‍👩‍👧");
});
