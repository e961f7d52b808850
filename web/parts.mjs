// Parts of the page with a file of their own, such as settings.js. Preact, signals and the page's own state are there
// once only: a part takes them from app.js, which the browser has loaded already. src/shared.ts says what app.js gives.
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";

const APP = "./app.js";
const ASKED = Symbol("asked");

/** Modules that src/shared.ts exports from are not bundled again. */
export function takenFromApp(web) {
  return {
    name: "taken from app",
    setup(build) {
      const find = (path, resolveDir) => build.resolve(path, { kind: "import-statement", resolveDir, pluginData: ASKED });
      let shared;
      const sharedPaths = async () => {
        const source = await readFile(`${web}src/shared.ts`, "utf8");
        const names = [...source.matchAll(/\bfrom "([^"]+)"/g)].map(([, name]) => name);
        return new Set((await Promise.all(names.map((name) => find(name, `${web}src`)))).map((found) => found.path));
      };
      build.onResolve({ filter: /./ }, async ({ path, resolveDir, kind, pluginData }) => {
        if (pluginData === ASKED || kind === "entry-point") return null;
        shared ??= sharedPaths();
        const found = await find(path, resolveDir);
        return (await shared).has(found.path) ? { path: APP, external: true } : null;
      });
    },
  };
}

/** What would fail in the browser: a name that app.js does not give, or a module that is there twice. */
export async function unsound(app, parts, web) {
  const found = [];
  const given = new Set(Object.values(app.outputs).find((output) => output.entryPoint === "src/main.tsx").exports);
  const inApp = inputsOf(app, "src/main.tsx");
  for (const [file, { entryPoint }] of Object.entries(parts.outputs)) {
    if (!entryPoint) continue;
    for (const name of taken(await readFile(resolve(web, file), "utf8"))) {
      if (!given.has(name)) found.push(`${file}: src/shared.ts does not export ${name}`);
    }
    for (const input of inputsOf(parts, entryPoint)) {
      if (inApp.has(input)) found.push(`${file}: ${input} is in app.js, too: let src/shared.ts export what it needs of it`);
    }
  }
  return found;
}

function inputsOf({ outputs }, entryPoint) {
  const { inputs } = Object.values(outputs).find((output) => output.entryPoint === entryPoint);
  return new Set(Object.keys(inputs).filter((name) => inputs[name].bytesInOutput > 0 && dirname(name) !== "."));
}

/** The names that a bundle imports from app.js. */
function taken(source) {
  const lists = [...source.matchAll(/import\s*\{([^}]*)\}\s*from\s*"\.\/app\.js"/g)].map(([, list]) => list.split(","));
  return new Set(lists.flat().map((each) => each.trim().split(/\s+as\s+/)[0]));
}
