// The page with other text in its sources: node mutation.mjs <folder of web> <outfile> <file> <old> <new>
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";

const [web, outfile, file, old, now] = process.argv.slice(2);
const { build } = createRequire(join(web, "package.json"))("esbuild");
const path = join(web, "src", file);
const source = await readFile(path, "utf8");
if (source.split(old).length !== 2) throw new Error(`${file} has not exactly one ${JSON.stringify(old)}`);

const mutation = {
  name: "mutation",
  setup(build) {
    build.onLoad({ filter: /\.tsx?$/ }, (loaded) =>
      loaded.path === path ? { contents: source.replace(old, () => now), loader: file.endsWith("x") ? "tsx" : "ts" } : null,
    );
    // What is loaded on demand is that of the server.
    build.onResolve({ filter: /.*/ }, ({ kind, path }) =>
      kind === "dynamic-import" ? { path: path.endsWith("/reader") ? "./markdown.js" : `./${path.split("/").at(-1)}.js`, external: true } : null,
    );
  },
};
await build({
  absWorkingDir: web,
  entryPoints: ["src/main.tsx"],
  outfile,
  bundle: true,
  format: "esm",
  target: ["es2022"],
  jsx: "automatic",
  jsxImportSource: "preact",
  plugins: [mutation],
  logLevel: "warning",
});
