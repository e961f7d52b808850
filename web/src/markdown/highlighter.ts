// The highlighter, asked for with the first code. Code is plain until then.
export type Highlighter = typeof import("./highlight");

const AGAIN_MS = 2000;
let loading: Promise<Highlighter> | null = null;

export function highlighter(): Promise<Highlighter> {
  return (loading ??= load());
}

/** Again after a moment when the server cannot be reached; by another address, since browsers remember what failed. */
async function load(): Promise<Highlighter> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await (attempt === 0 ? import("./highlight") : (import(new URL(`./highlight.js?again=${attempt}`, import.meta.url).href) as Promise<Highlighter>));
    } catch {
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
}
