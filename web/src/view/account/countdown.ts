import { useEffect, useState } from "preact/hooks";

const TICK_MS = 250;

/** Whole seconds that are left of a wait, and what begins one. It goes by the clock: a tab that slept has waited. */
export function useCountdown(over: () => void = () => {}): readonly [number, (seconds: number) => void] {
  const [until, setUntil] = useState(0);
  const [left, setLeft] = useState(0);
  useEffect(() => {
    if (until === 0) return;
    const timer = setInterval(() => {
      const seconds = Math.ceil((until - Date.now()) / 1000);
      setLeft(Math.max(0, seconds));
      if (seconds > 0) return;
      setUntil(0);
      over();
    }, TICK_MS);
    return () => clearInterval(timer);
  }, [until]);
  const begin = (seconds: number): void => {
    setUntil(seconds > 0 ? Date.now() + seconds * 1000 : 0);
    setLeft(Math.ceil(seconds));
  };
  return [left, begin];
}
