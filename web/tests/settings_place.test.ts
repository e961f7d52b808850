import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { addressOfSettings, openingIn, SECTIONS, settingsInAddress, SettingsPlace } from "../src/chat/settings_place";

test("each section has an address, and so has the list of them", () => {
  for (const section of [null, ...SECTIONS]) assert.deepEqual(settingsInAddress(addressOfSettings(section)), { section });
  assert.deepEqual(settingsInAddress("/settings/"), { section: null });
  assert.deepEqual(settingsInAddress("/settings/no-such-thing"), { section: null });
  for (const path of ["/", "/settingsx", "/settings/usage/more", "/t/settings"]) assert.equal(settingsInAddress(path), null, path);
});

test("only what the page has put into the history itself leads back", () => {
  assert.deepEqual(openingIn({ behind: "/t/1", depth: 2 }), { behind: "/t/1", depth: 2 });
  for (const state of [null, 7, {}, { behind: "/" }, { behind: "//elsewhere", depth: 1 }, { behind: "https://x", depth: 1 }, { behind: "/", depth: 0 }]) {
    assert.equal(openingIn(state), null);
  }
});

/** A browser's history, whose `go` is done at once. */
class Browser {
  entries: { path: string; state: unknown }[] = [];
  at = 0;
  changed: () => void = () => {};

  constructor(path: string) {
    this.entries = [{ path, state: null }];
    Object.defineProperty(globalThis, "history", { value: this, configurable: true });
    const browser = this;
    Object.defineProperty(globalThis, "location", { value: { get pathname() { return browser.path; } }, configurable: true });
  }

  get path(): string {
    return this.entries[this.at]?.path ?? "";
  }

  get state(): unknown {
    return this.entries[this.at]?.state;
  }

  pushState(state: unknown, _: string, path: string): void {
    this.entries = [...this.entries.slice(0, this.at + 1), { path, state }];
    this.at += 1;
  }

  replaceState(state: unknown, _: string, path: string): void {
    this.entries[this.at] = { path, state };
  }

  go(by: number): void {
    this.at += by;
    this.changed();
  }

  back(): void {
    this.go(-1);
  }
}

const before = ["history", "location"].map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)] as const);
let home = "/";
let kept: boolean[] = [];

function opened(path: string): { browser: Browser; place: SettingsPlace } {
  const browser = new Browser(path);
  const place = new SettingsPlace(() => home);
  browser.changed = () => kept.push(place.addressChanged());
  return { browser, place };
}

beforeEach(() => {
  home = "/";
  kept = [];
});
afterEach(() => {
  for (const [name, property] of before) {
    if (property) Object.defineProperty(globalThis, name, property);
    else Reflect.deleteProperty(globalThis, name);
  }
});

test("closing leads back to where one was, through however many sections", () => {
  home = "/t/a";
  const { browser, place } = opened("/t/a");
  place.open();
  place.go("usage");
  place.go("usage");
  place.go("notes");
  assert.deepEqual([browser.path, browser.at], ["/settings/notes", 3]);
  place.close();
  assert.deepEqual([browser.path, browser.at, place.shown.value], ["/t/a", 0, null]);
  assert.deepEqual(kept, [true]);
});

test("who closes twice goes back once", () => {
  const { browser, place } = opened("/t/a");
  browser.pushState(null, "", "/t/b");
  place.open();
  const asked: number[] = [];
  browser.go = (by) => void asked.push(by);
  place.close();
  place.close();
  assert.deepEqual(asked, [-1]);
  browser.at = 1;
  browser.changed();
  assert.equal(place.shown.value, null);
  place.open();
  place.close();
  assert.deepEqual(asked, [-1, -1]);
});

test("a section is left by Back, and found again by Forward", () => {
  const { browser, place } = opened("/");
  place.open("general");
  place.go("usage");
  browser.back();
  assert.deepEqual(place.shown.value, { section: "general" });
  browser.back();
  assert.equal(place.shown.value, null);
  browser.go(2);
  assert.deepEqual(place.shown.value, { section: "usage" });
  assert.deepEqual(kept, [true, true, true]);
});

test("what a direct link has opened closes in its place", () => {
  const { browser, place } = opened("/settings/usage");
  assert.deepEqual(place.shown.value, { section: "usage" });
  assert.equal(SettingsPlace.chatAddress(), "/");
  place.close();
  assert.deepEqual([browser.path, browser.entries.length, place.shown.value], ["/", 1, null]);
});

test("after a reload the chat behind the settings is the one that they were opened from", () => {
  const { browser, place } = opened("/t/a");
  place.open();
  const reloaded = new SettingsPlace(() => "/t/a");
  assert.equal(SettingsPlace.chatAddress(), "/t/a");
  browser.changed = () => kept.push(reloaded.addressChanged());
  reloaded.close();
  assert.deepEqual([browser.path, kept], ["/t/a", [true]]);
});

test("a conversation that became a thread behind the settings has its address when they close", () => {
  const { browser, place } = opened("/");
  place.open();
  home = "/t/new";
  browser.back();
  assert.deepEqual([browser.path, kept], ["/t/new", [true]]);
});

test("another entry of the history than the one before is another place", () => {
  const { browser, place } = opened("/t/a");
  browser.pushState(null, "", "/t/b");
  place.open();
  browser.go(-2);
  assert.deepEqual([browser.path, place.shown.value, kept], ["/t/a", null, [false]]);
});

test("from a section one comes to the list, without a trace where a link led to the section", () => {
  const { browser, place } = opened("/");
  place.open();
  place.go("usage");
  place.up();
  assert.deepEqual([browser.path, place.shown.value], ["/settings", { section: null }]);
  const direct = opened("/settings/usage");
  direct.place.up();
  assert.deepEqual([direct.browser.path, direct.browser.entries.length, direct.place.shown.value], ["/settings", 1, { section: null }]);
});
