// What a closed connection asks for, by its close code (docs/protocol.md, section 4). No I/O.
import type { ErrorMessage } from "./frames";

export type AfterClose =
  | { readonly act: "retry"; readonly delay: number }
  | { readonly act: "renew"; readonly delay: number }
  | { readonly act: "stop" };

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 30_000;
// A server that is started anew is back in some three seconds: by twos, who came just too early would wait longer than
// that once more.
const GROWTH = 1.5;
const FLOOD_DELAY_MS = 5_000;

/** Exponential, with jitter over its upper half, so that many pages do not come back at the same moment. */
export function backoff(failures: number, random: () => number): number {
  const ceiling = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * GROWTH ** Math.min(failures, 20));
  return ceiling * (0.5 + random() / 2);
}

export interface Closing {
  readonly code: number;
  /** Attempts since the last connection that was established. */
  readonly failures: number;
  /** The last `error_message` and `server_draining` of this connection. */
  readonly error: ErrorMessage | null;
  readonly drainMs: number | null;
}

export function afterClose({ code, failures, error, drainMs }: Closing, random: () => number): AfterClose {
  switch (code) {
    case 4401:
      return { act: "renew", delay: failures > 1 ? backoff(failures, random) : 0 };
    case 4403:
      return { act: "stop" };
    case 4408:
      return { act: "retry", delay: backoff(0, random) };
    case 4412:
      return { act: "retry", delay: (drainMs ?? 1000) * random() };
    case 4429:
      return { act: "retry", delay: Math.max((error?.retry_after ?? 0) * 1000, FLOOD_DELAY_MS + backoff(failures, random)) };
    default:
      return { act: "retry", delay: backoff(failures, random) };
  }
}
