// Whether the person is told that the connection is away: not of a short break, and then also that it is back.
import { signal } from "@preact/signals";
import type { Clock } from "../protocol/clock";

/** Most breaks are over by then, and nobody has noticed them. */
const UNSEEN_MS = 1500;
const BACK_MS = 2500;

export class Interruption {
  readonly shown = signal<"nothing" | "away" | "back">("nothing");

  #clock: Clock;
  #connected = true;
  #cancel: () => void = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  look(connected: boolean): void {
    if (connected === this.#connected) return;
    this.#connected = connected;
    this.#cancel();
    if (!connected) {
      // What says that it is back goes on to say so while nobody knows better.
      this.#cancel = this.#clock.after(UNSEEN_MS, () => (this.shown.value = "away"));
    } else if (this.shown.value !== "nothing") {
      this.shown.value = "back";
      this.#cancel = this.#clock.after(BACK_MS, () => (this.shown.value = "nothing"));
    }
  }

  close(): void {
    this.#cancel();
  }
}
