import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { en } from "../src/words/en";
import { daysBetween, formats } from "../src/words/formats";
import { chosen } from "../src/words/words";

declare const TRACES: string;
const REPOSITORY = join(TRACES, "../..");

test("dates, numbers, sizes and costs are written as the locale writes them", () => {
  const british = formats("en-GB");
  const american = formats("en-US");
  const date = new Date(2026, 10, 3, 17, 5);
  assert.deepEqual([date, new Date(2025, 0, 1)].map((each) => american.month(each, date)), ["November", "January 2025"]);
  assert.match(british.dateTime(date), /^Tuesday,? 3 November 2026.* 17:05$/);
  assert.match(american.dateTime(date), /^Tuesday, November 3, 2026.* 5:05.PM$/);
  assert.equal(formats("de").number(1234567.5), "1.234.567,5");
  assert.deepEqual([12.4, 1310, 42_000, 125_000, 119_900].map(american.duration), ["12ms", "1.3s", "42s", "2m 5s", "2m 0s"]);
  assert.deepEqual([0.0000001, 0.00213, 0.5, 12.345].map(american.cost), ["< $0.0001", "$0.0021", "$0.50", "$12.35"]);
  assert.deepEqual([123_456, 5_000_000].map(american.bytes), ["123 kB", "5.0 MB"]);
});

test("days are counted by the calendar, also where a day has 23 or 25 hours", () => {
  assert.equal(daysBetween(new Date(2026, 2, 28, 23, 59), new Date(2026, 2, 29, 0, 1)), 1);
  assert.equal(daysBetween(new Date(2026, 2, 1), new Date(2026, 3, 1)), 31);
  assert.equal(daysBetween(new Date(2026, 9, 1, 12), new Date(2026, 10, 1, 3)), 31);
});

test("the page speaks the first language that it knows, and writes dates as the person does", () => {
  assert.deepEqual(chosen(["xx-YY", "en-GB", "en"]), { language: "en", locale: "en-GB" });
  assert.deepEqual(chosen(["xx-YY"]), { language: "en", locale: "en" });
  assert.deepEqual(chosen([]), { language: "en", locale: "en" });
});

test("a plural takes its form from the language's rules", () => {
  const words = en(formats("en"));
  assert.deepEqual([0, 1, 2, 1200].map(words.usage.tokens), ["0 tokens", "1 token", "2 tokens", "1,200 tokens"]);
  const forms = { one: "soubor", few: "soubory", many: "souboru", other: "souborů" };
  assert.deepEqual([1, 3, 1.5, 5].map((count) => formats("cs").plural(count, forms)), ["soubor", "soubory", "souboru", "souborů"]);
});

test("each code with a sentence is one that the server, or the page itself, gives", () => {
  const own = new Set(["UNREACHABLE", "THREAD_DELETED", "BROKEN_OFF", "LEFT_UNSENT", "FILE_EMPTY", "IS_FOLDER", "UPLOAD_INTERRUPTED"]);
  const documents = ["docs/protocol.md", "docs/openapi.json"].map((name) => readFileSync(join(REPOSITORY, name), "utf8")).join();
  for (const code of Object.keys(en(formats("en")).errors)) assert.ok(own.has(code) || new RegExp(`\\b${code}\\b`).test(documents), code);
});

const CATALOGUE = `export function en() { return { a: { said: "Said", unsaid: "Unsaid" }, table: { X: "x" }, b: { aliased: "Aliased" } }; }`;
const WORDS = `import { en } from "./en"; export const words = en();`;
const GOOD = `
import { words } from "../words/words";
declare const code: "X";
const act = () => { const say = words.b; return say.aliased; };
export const View = () => <p class="some Class" aria-label={words.a.said} data-x={act()}>{code === "X" ? words.table[code] : ": "}</p>;
`;

/** What `npm run check` says of a page that has these further files. */
function checked(files: Record<string, string>): string[] {
  const folder = mkdtempSync(join(tmpdir(), "netra-words-"));
  try {
    const config = { compilerOptions: { jsx: "preserve", module: "ESNext", moduleResolution: "bundler" }, include: ["src"] };
    const all = { "tsconfig.json": JSON.stringify(config), "src/words/en.ts": CATALOGUE, "src/words/words.ts": WORDS, "src/style/a.css": "", ...files };
    for (const [name, text] of Object.entries(all)) {
      mkdirSync(join(folder, dirname(name)), { recursive: true });
      writeFileSync(join(folder, name), text);
    }
    // Modules are found from where the script is.
    const run = spawnSync(process.execPath, [join(REPOSITORY, "web/check_words.mjs"), `${folder}/`], { encoding: "utf8" });
    assert.equal(run.status, run.stderr === "" ? 0 : 1, run.stderr);
    return run.stderr.trim().split("\n").filter((line) => line !== "");
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("the check finds a key that nobody uses, and text that stands in a view", () => {
  assert.deepEqual(checked({ "src/view/good.tsx": GOOD }), ["unused key: a.unsaid"]);
  const settings = {
    "src/words/en_settings.ts": 'export function enSettings() { return { said: "Said", unsaid: "Unsaid" }; }',
    "src/words/settings_words.ts": 'import { enSettings } from "./en_settings"; export const settingsWords = enSettings();',
    "src/view/settings.tsx": 'import { settingsWords } from "../words/settings_words"; export const S = () => <p>{settingsWords.said}</p>;',
  };
  assert.deepEqual(checked({ "src/view/good.tsx": GOOD, ...settings }), ["unused key: a.unsaid", "unused key: settings.unsaid"]);
  const bad = `
    export const A = () => <p>Hello</p>;
    export const B = ({ on }) => <p>{on ? "on" : \`off \${on}\`}</p>;
    export const C = () => <img alt="cat" title={"a" + "b"} aria-label="lion" aria-hidden="true" />;
    const table = { x: "Cut short" };
    document.title = "Loading…";
    throw new Error("Not for people");`;
  const found = checked({ "src/view/good.tsx": GOOD, "src/view/bad.tsx": bad, "src/style/a.css": 'p::before { content: "new"; }' });
  const texts = found.flatMap((line) => /catalogue: (.*)/.exec(line)?.[1] ?? []);
  const expected = ['"Hello"', '"on"', '"off"', '"cat"', '"a"', '"b"', '"lion"', '"Cut short"', '"Loading…"', 'content: "new"'];
  assert.deepEqual(texts, expected);
});
