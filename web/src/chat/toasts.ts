// A short word on what was just done, and a way to undo it. One at a time; it goes by itself, but not under the person's
// eyes: not while the pointer or the focus is on it, or the page is hidden.
import { signal } from "@preact/signals";
import type { Clock } from "../protocol/clock";
import type { RestError } from "../session/rest";

const STAYS_MS = 12_000;

export type Toast =
  | { readonly kind: "done"; readonly text: string; readonly undo: (() => void) | null }
  | { readonly kind: "failed"; readonly error: RestError };

export class Toasts {
  readonly shown = signal<Toast | null>(null);

  #clock: Clock;
  #cancel: () => void = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  done(text: string, undo: (() => void) | null = null): void {
    this.#show({ kind: "done", text, undo });
  }

  failed(error: RestError): void {
    this.#show({ kind: "failed", error });
  }

  #show(toast: Toast): void {
    this.shown.value = toast;
    this.resume();
  }

  undo(): void {
    const toast = this.shown.value;
    this.dismiss();
    if (toast?.kind === "done") toast.undo?.();
  }

  dismiss(): void {
    this.hold();
    this.shown.value = null;
  }

  /** It stays until `resume`. */
  hold(): void {
    this.#cancel();
  }

  resume(): void {
    this.#cancel();
    this.#cancel = this.#clock.after(STAYS_MS, () => this.dismiss());
  }
}
