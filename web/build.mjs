// Builds the page into chat/static/chat/, the folder that Django serves; the same sources give the same bytes.
import { copyFile, mkdir, readdir, readFile, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { takenFromApp, unsound } from "./parts.mjs";

const web = fileURLToPath(new URL(".", import.meta.url));
const out = fileURLToPath(new URL("../chat/static/chat/", import.meta.url));
const BUDGETS = { "app.js": 75, "app.css": 10, "highlight.js": 35, "markdown.js": 35, "settings.js": 15, "settings.css": 5, "seldom.js": 10, "theme.js": 1 }; // KB, gzipped

/** Parts of the page that few people open: they take what they share with it from app.js. */
const PARTS = { settings: "src/view/settings/page.tsx", seldom: "src/view/seldom.ts" };

/** What is loaded on demand is a file of its own with a stable name, bundled by itself. */
const lazily = {
  name: "lazily",
  setup(build) {
    for (const [module, file] of [["highlight", "highlight.js"], ["reader", "markdown.js"], ["settings/page", "settings.js"], ["seldom", "seldom.js"]]) {
      build.onResolve({ filter: new RegExp(`/${module}$`) }, ({ kind }) => (kind === "dynamic-import" ? { path: `./${file}`, external: true } : null));
    }
  },
};

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
const options = {
  absWorkingDir: web,
  outdir: out,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022"],
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "linked",
  logLevel: "warning",
  metafile: true,
};
const whole = await build({ ...options, entryPoints: { app: "src/main.tsx", highlight: "src/markdown/highlight.ts", markdown: "src/markdown/reader.ts" }, plugins: [lazily] });
const [, version] = /^version = "([^"]+)"/m.exec(await readFile(`${web}../pyproject.toml`, "utf8"));
const parts = await build({ ...options, entryPoints: PARTS, plugins: [takenFromApp(web)], define: { VERSION: JSON.stringify(version) } });
for (const complaint of await unsound(whole.metafile, parts.metafile, web)) {
  console.error(complaint);
  process.exitCode = 1;
}
// Not a module: the page is not painted before it has run.
await build({ absWorkingDir: web, entryPoints: { theme: "src/theme/first.ts" }, outdir: out, bundle: true, minify: true, format: "iife", target: ["es2022"], logLevel: "warning" });
await copyFile(`${web}src/style/icon.svg`, `${out}icon.svg`);
// The administration is served as pages; this is what moves in them, and how they look.
const administration = fileURLToPath(new URL("../chat/static/administration/", import.meta.url));
await rm(administration, { recursive: true, force: true });
await build({ absWorkingDir: web, entryPoints: { start: "src/administration/start.ts", style: "src/administration/style.css" }, outdir: administration, bundle: true, minify: true, format: "iife", target: ["es2022"], legalComments: "linked", logLevel: "warning" });

let over = false;
for (const name of (await readdir(out)).sort()) {
  const size = gzipSync(await readFile(out + name), { level: 9 }).length / 1000;
  const budget = BUDGETS[name];
  if (budget !== undefined && size > budget) over = true;
  console.log(`${name.padEnd(14)} ${size.toFixed(1).padStart(6)} KB gz${budget ? ` of ${budget}` : ""}`);
}
if (over) {
  console.error("A file is over its budget.");
  process.exitCode = 1;
}
