// The reader of Markdown once it is there. The page asks for it as it starts; text is plain until then.
import { signal } from "@preact/signals";

export type Reader = typeof import("./reader");

export const reader = signal<Reader | null>(null);

const AGAIN_MS = 2000;

/** Again after a moment when the server cannot be reached; by another address, since browsers remember what failed. */
export function loadReader(attempt = 0): void {
  const again = (): Promise<Reader> => import(new URL(`./markdown.js?again=${attempt}`, import.meta.url).href) as Promise<Reader>;
  (attempt === 0 ? import("./reader") : again()).then(
    (loaded) => (reader.value = loaded),
    () => setTimeout(() => loadReader(attempt + 1), AGAIN_MS),
  );
}
