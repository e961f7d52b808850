// What few people open at once, when it is there: a file of its own. The page asks for it when it has time.
import { signal } from "@preact/signals";

export type Seldom = typeof import("./seldom");

export const seldom = signal<Seldom | null>(null);

const AGAIN_MS = 2000;
let asked = false;

export function loadSeldom(): void {
  if (asked) return;
  asked = true;
  attempt(0);
}

/** By another address than one that failed, since browsers remember that. */
function attempt(number: number): void {
  const again = (): Promise<Seldom> => import(new URL(`./seldom.js?again=${number}`, import.meta.url).href) as Promise<Seldom>;
  (number === 0 ? import("./seldom") : again()).then(
    (loaded) => (seldom.value = loaded),
    () => setTimeout(() => attempt(number + 1), AGAIN_MS),
  );
}
