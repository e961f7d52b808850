// Work that a page does when it has the time, the newest wish first.
import { useEffect, useState } from "preact/hooks";

const AT_ONCE = 2;
const wishes: (() => void)[] = [];
let scheduled = false;

function schedule(): void {
  if (scheduled || wishes.length === 0) return;
  scheduled = true;
  const work = (): void => {
    scheduled = false;
    for (const act of wishes.splice(-AT_ONCE)) act();
    schedule();
  };
  if ("requestIdleCallback" in globalThis) requestIdleCallback(work, { timeout: 200 });
  else setTimeout(work, 16);
}

/** True at once when `now`, otherwise as soon as the page has the time; it stays true. */
export function useUnhurried(now: boolean): boolean {
  const [ready, setReady] = useState(now);
  useEffect(() => {
    if (ready) return;
    const wish = (): void => setReady(true);
    wishes.push(wish);
    schedule();
    return () => {
      const at = wishes.indexOf(wish);
      if (at >= 0) wishes.splice(at, 1);
    };
  }, [ready]);
  return ready || now;
}
