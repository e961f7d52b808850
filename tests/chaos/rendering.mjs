// Markdown to HTML, a line of JSON for a line of JSON, by the sources of the page: node rendering.mjs <folder of web>
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const web = process.argv[2];
const { build } = createRequire(join(web, "package.json"))("esbuild");
const out = mkdtempSync(join(tmpdir(), "netra-rendering-"));
const outfile = join(out, "blocks.mjs");
try {
  await build({ absWorkingDir: web, entryPoints: ["src/markdown/blocks.ts"], outfile, bundle: true, format: "esm", platform: "node" });
  const { markdownHtml } = await import(pathToFileURL(outfile).href);
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(markdownHtml(JSON.parse(line)))}\n`);
  }
} finally {
  rmSync(out, { recursive: true, force: true });
}
