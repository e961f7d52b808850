// Time as a part that a test can replace.

export interface Clock {
  /** Milliseconds; only differences have a meaning. */
  now(): number;
  /** Act once after so many milliseconds; the result cancels it. */
  after(milliseconds: number, act: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  after(milliseconds, act) {
    const timer = setTimeout(act, milliseconds);
    return () => clearTimeout(timer);
  },
};
