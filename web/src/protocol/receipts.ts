// What one connection has received and not yet acknowledged (docs/protocol.md, 5.6).
import type { Command } from "./frames";

const MOST_FRAMES = 64;
export const LONGEST_WAIT_MS = 1000;

export class Receipts {
  #received = 0;
  #acknowledged = 0;
  #waitingSince: number | null = null;
  #moved = new Set<string>();

  /** Count a frame, and the run that it moved on; true when the acknowledgement must not wait any longer. */
  note(now: number, movedRun: string | null): boolean {
    this.#received += 1;
    this.#waitingSince ??= now;
    if (movedRun !== null) this.#moved.add(movedRun);
    return this.#received - this.#acknowledged >= MOST_FRAMES || now - this.#waitingSince >= LONGEST_WAIT_MS;
  }

  /**
   * The acknowledgement of everything since the one before, or null when there is nothing new. `position` is the last
   * event that the page has of a run; a run that it has dropped meanwhile is not named.
   */
  take(position: (runId: string) => number | undefined): Command | null {
    if (this.#received === this.#acknowledged) return null;
    const cursors: Record<string, number> = {};
    for (const run of [...this.#moved].sort()) {
      const seq = position(run);
      if (seq !== undefined) cursors[run] = seq;
    }
    this.#acknowledged = this.#received;
    this.#waitingSince = null;
    this.#moved.clear();
    return { type: "ack", cursors, received: this.#received };
  }
}
