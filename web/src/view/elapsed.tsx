import type { VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import { format } from "../words/words";

/** The moment by the server's clock, in milliseconds. */
export type Now = () => number;

const TICK_MS = 1000;

/** Milliseconds from an event's time to now, looked at each second while `going`. It is the same after a reload. */
export function useElapsed(since: string, now: Now, going: boolean): number {
  const passed = (): number => Math.max(0, now() - Date.parse(since));
  const [elapsed, setElapsed] = useState(passed);
  useEffect(() => {
    if (!going) return;
    setElapsed(passed());
    const timer = setInterval(() => setElapsed(passed()), TICK_MS);
    return () => clearInterval(timer);
  }, [since, now, going]);
  return elapsed;
}

/** A counter that says nothing of the first second. It does not speak: a screen reader would read each second. */
export function Elapsed({ since, now }: { readonly since: string; readonly now: Now }): VNode | null {
  const elapsed = useElapsed(since, now, true);
  return elapsed < TICK_MS ? null : (
    <span class="elapsed" data-testid="elapsed" aria-hidden="true">
      {format.elapsed(elapsed)}
    </span>
  );
}
