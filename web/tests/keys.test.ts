import assert from "node:assert/strict";
import { test } from "node:test";
import { caps, isPressed, isText, type Pressed } from "../src/keys/keys";
import { SHORTCUTS } from "../src/keys/shortcuts";

const pressed = (key: string, held: Partial<Pressed> = {}): Pressed => ({
  key, code: "", ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, ...held,
});

test("Mod is the command key on Apple's machines, Ctrl elsewhere, and nothing else may be held", () => {
  assert.ok(isPressed("Mod+K", pressed("k", { ctrlKey: true }), false));
  assert.ok(isPressed("Mod+K", pressed("k", { metaKey: true }), true));
  assert.ok(!isPressed("Mod+K", pressed("k", { ctrlKey: true }), true));
  assert.ok(!isPressed("Mod+K", pressed("k", { ctrlKey: true, metaKey: true }), false));
  assert.ok(!isPressed("Mod+K", pressed("K", { ctrlKey: true, shiftKey: true }), false));
  assert.ok(isPressed("Mod+Shift+O", pressed("O", { ctrlKey: true, shiftKey: true }), false));
  assert.ok(!isPressed("ArrowUp", pressed("ArrowUp", { altKey: true }), false));
});

test("a sign counts however it is made, and a letter by its place where letters are not Latin", () => {
  assert.ok(isPressed("?", pressed("?", { shiftKey: true, code: "Minus" }), false));
  assert.ok(isPressed("Mod+/", pressed("/", { ctrlKey: true, shiftKey: true, code: "Digit7" }), false));
  assert.ok(isPressed("Mod+K", pressed("л", { ctrlKey: true, code: "KeyK" }), false));
  assert.ok(!isPressed("Mod+K", pressed("t", { ctrlKey: true, code: "KeyK" }), false));
});

test("only a key alone is text", () => {
  assert.deepEqual(["?", "Mod+K", "Escape", "F2", "Alt+ArrowUp"].map(isText), [true, false, false, false, false]);
});

test("caps look like those of the keyboard", () => {
  const name = (key: string): string | undefined => (key === "Escape" ? "Esc" : undefined);
  assert.deepEqual(caps("Mod+Shift+O", true, name), ["⌘", "⇧", "O"]);
  assert.deepEqual(caps("Mod+Shift+O", false, name), ["Ctrl", "Shift", "O"]);
  assert.deepEqual(caps("Escape", false, name), ["Esc"]);
  assert.deepEqual(caps("Alt+ArrowUp", false, name), ["Alt", "↑"]);
});

test("no two shortcuts of the same place have the same keys", () => {
  for (const place of ["everywhere", "list"]) {
    const keys = Object.values(SHORTCUTS).filter((each) => each.place === place).flatMap((each) => [...each.keys]);
    assert.equal(new Set(keys).size, keys.length);
  }
});
