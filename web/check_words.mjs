// Fails when the page says something that is not in the catalogue (src/words), or when the catalogue has what nobody says.
//
// Text is: what stands between tags or in an attribute that people meet, and any literal that begins like a sentence.
// `node check_words.mjs [FOLDER/]`. A key is used where it is read from `words`, or from a name for one of its groups (`const say = words.approval`);
// `words.group[code]` uses the whole group, which must be a table of codes.
import { readdirSync, readFileSync } from "node:fs";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import * as is from "typescript/unstable/ast/is";
import { SyntaxKind } from "typescript/unstable/ast";
import { API } from "typescript/unstable/sync";

/** The names under which views read words, the modules that export them, and where in the words they begin. */
const CATALOGUES = [
  ["words", /words\/words$|^\.\/words$/, []],
  ["settingsWords", /words\/settings_words$/, ["settings"]],
];
const TEXT_ATTRIBUTES = new Set(["title", "placeholder", "alt", "label", "hint", "note", "text", "summary"]);
const LETTER = /\p{L}/u;
const SENTENCE = /^\p{Lu}[\p{L}’']*(?:…|[ ,][^:]|[.!?]$)|\p{L}…/u;
const COMPARISONS = new Set([SyntaxKind.EqualsEqualsEqualsToken, SyntaxKind.ExclamationEqualsEqualsToken]);

const isText = (node) => is.isStringLiteral(node) || is.isNoSubstitutionTemplateLiteral(node) || is.isTemplateHead(node) || is.isTemplateMiddle(node) || is.isTemplateTail(node);
const children = (node) => {
  const found = [];
  node.forEachChild((child) => void found.push(child));
  return found;
};

/** The literals that an expression can show: those of comparisons, calls and keys are not shown. */
function* shown(node) {
  if (isText(node)) yield node;
  if (is.isBinaryExpression(node) && COMPARISONS.has(node.operatorToken.kind)) return;
  if (is.isConditionalExpression(node)) yield* [node.whenTrue, node.whenFalse].flatMap((branch) => [...shown(branch)]);
  else if (!is.isCallExpression(node) && !is.isElementAccessExpression(node) && !is.isJsxElement(node) && !is.isJsxSelfClosingElement(node) && !is.isJsxFragment(node))
    for (const child of children(node)) yield* shown(child);
}

function isForPeople(attribute) {
  const name = attribute.name.getText();
  return TEXT_ATTRIBUTES.has(name) || /^aria-(?:label|description|roledescription|valuetext|placeholder)$/.test(name);
}

/** Literals that stand in the page instead of in the catalogue. */
export function* literals(file) {
  const seen = new Set();
  function* visit(node) {
    if (is.isNewExpression(node) || is.isImportDeclaration(node)) return;
    const places = is.isJsxText(node)
      ? [node]
      : is.isJsxAttribute(node) && node.initializer && isForPeople(node)
        ? [...shown(node.initializer)]
        : is.isJsxExpression(node) && node.expression && !is.isJsxAttribute(node.parent)
          ? [...shown(node.expression)]
          : isText(node) && SENTENCE.test(node.text)
            ? [node]
            : [];
    for (const place of places) {
      if (!LETTER.test(place.text) || seen.has(place)) continue;
      seen.add(place);
      yield place;
    }
    for (const child of children(node)) yield* visit(child);
  }
  yield* visit(file);
}

/** The names from `words` to the property that is read: null when the node does not begin there. */
function chainOf(node, aliases) {
  if (is.isIdentifier(node)) return aliases.get(node.text) ?? null;
  if (!is.isPropertyAccessExpression(node)) return null;
  const before = chainOf(node.expression, aliases);
  return before && [...before, node.name.text];
}

/** The keys that a file reads, and the groups that it reads by a code. */
export function uses(file) {
  const used = new Set();
  const tables = new Set();
  const visit = (node, outer) => {
    const aliases = is.isBlock(node) || is.isSourceFile(node) ? new Map(outer) : outer;
    if (is.isImportDeclaration(node)) {
      for (const [name, module, chain] of CATALOGUES) {
        if (module.test(node.moduleSpecifier.text) && new RegExp(`\\b${name}\\b`).test(node.importClause?.getText() ?? "")) aliases.set(name, chain);
      }
      return;
    }
    if (is.isVariableDeclaration(node) && is.isIdentifier(node.name)) {
      const chain = node.initializer && chainOf(node.initializer, aliases);
      if (chain) aliases.set(node.name.text, chain);
      else aliases.delete(node.name.text);
    }
    if (is.isElementAccessExpression(node)) {
      const chain = chainOf(node.expression, aliases);
      if (chain) tables.add(chain.join("."));
    }
    const chain = is.isPropertyAccessExpression(node) ? chainOf(node, aliases) : null;
    if (chain) used.add(chain.join("."));
    for (const child of children(node)) visit(child, aliases);
  };
  visit(file, new Map());
  return { used, tables };
}

/** The keys of a catalogue, below `place`: of the object that its function returns. */
export function keysOf(file, place = []) {
  const keys = [];
  const read = (object, path) => {
    for (const property of object.properties) {
      const name = [...path, property.name.text].join(".");
      if (is.isPropertyAssignment(property) && is.isObjectLiteralExpression(property.initializer)) read(property.initializer, name.split("."));
      else keys.push(name);
    }
  };
  const find = (node) => {
    if (is.isReturnStatement(node) && node.expression && is.isObjectLiteralExpression(node.expression)) read(node.expression, place);
    else for (const child of children(node)) find(child);
  };
  find(file);
  return keys;
}

/** What is wrong with the sources, a line each. `catalogues` are source files with their places, `others` too, without; `styles` names with texts. */
export function complaints({ catalogues, others, styles, place }) {
  const found = [];
  const used = new Set();
  const tables = new Set();
  for (const file of others) {
    for (const literal of literals(file)) found.push(`${place(literal, file)}: text outside the catalogue: ${JSON.stringify(literal.text.trim())}`);
    const read = uses(file);
    for (const key of read.used) used.add(key);
    for (const table of read.tables) tables.add(table);
  }
  for (const [name, text] of styles) {
    for (const [content] of text.matchAll(/content:\s*"[^"\\]*\p{L}[^"]*"/gu)) found.push(`${name}: text outside the catalogue: ${content}`);
  }
  for (const key of catalogues.flatMap(([file, at]) => keysOf(file, at))) {
    if (!used.has(key) && !tables.has(key.split(".").slice(0, -1).join("."))) found.push(`unused key: ${key}`);
  }
  return found;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const web = process.argv[2] ?? fileURLToPath(new URL(".", import.meta.url));
  const api = new API({ cwd: web });
  const [project] = api.updateSnapshot({ openProjects: [`${web}tsconfig.json`] }).getProjects();
  const files = project.program.getSourceFileNames().filter((name) => name.startsWith(`${web}src/`)).map((name) => project.program.getSourceFile(name));
  const found = complaints({
    catalogues: files.flatMap((file) => Object.entries({ "en.ts": [], "en_settings.ts": ["settings"] }).flatMap(([name, at]) => (file.fileName === `${web}src/words/${name}` ? [[file, at]] : []))),
    others: files.filter((file) => !file.fileName.startsWith(`${web}src/words/`)),
    styles: readdirSync(`${web}src/style`).filter((name) => name.endsWith(".css")).map((name) => [`src/style/${name}`, readFileSync(`${web}src/style/${name}`, "utf8")]),
    place: (node, file) => `${relative(web, file.fileName)}:${file.getLineAndCharacterOfPosition(node.end).line + 1}`,
  });
  api.close();
  for (const complaint of found) console.error(complaint);
  if (found.length > 0) process.exitCode = 1;
}
