// Small pictures of images, made on this page: an `img` cannot send the token with which a file is read.
import { type ReadonlySignal, type Signal, signal } from "@preact/signals";
import type { WireAttachment } from "../protocol/frames";

/** An address for an `img`; null until it is there. */
export type Preview = string | null | "failed";

const MOST = 200;

export class Previews {
  #draw: (image: Blob) => Promise<string>;
  #read: (href: string) => Promise<Blob>;
  #known = new Map<string, Signal<Preview>>();
  #underWay = new Set<Signal<Preview>>();
  #drawing: Promise<unknown> = Promise.resolve();

  constructor(draw: (image: Blob) => Promise<string>, read: (href: string) => Promise<Blob>) {
    this.#draw = draw;
    this.#read = read;
  }

  /** Of an id that the page or the server has given. */
  of(id: string): ReadonlySignal<Preview> {
    return this.#entry(id);
  }

  draw(id: string, image: Blob): void {
    void this.#fill(this.#entry(id), async () => image);
  }

  /** Somebody is about to see it. One that could not be read is tried again. */
  want({ id, href }: WireAttachment): void {
    const entry = this.#entry(id);
    if (entry.value === null || entry.value === "failed") void this.#fill(entry, () => this.#read(href));
  }

  /** The server has an id for it. */
  known(key: string, id: string): void {
    const entry = this.#known.get(key);
    if (entry) this.#known.set(id, entry);
  }

  async #fill(entry: Signal<Preview>, image: () => Promise<Blob>): Promise<void> {
    if (this.#underWay.has(entry)) return;
    this.#underWay.add(entry);
    try {
      const blob = await image();
      // One after the other: an image may take 200 MB while it is decoded.
      const drawn = this.#drawing.then(() => this.#draw(blob));
      this.#drawing = drawn.catch(() => {});
      entry.value = await drawn;
    } catch {
      entry.value = "failed";
    }
    this.#underWay.delete(entry);
  }

  #entry(id: string): Signal<Preview> {
    const entry = this.#known.get(id) ?? signal<Preview>(null);
    this.#known.delete(id);
    this.#known.set(id, entry);
    for (const oldest of [...this.#known.keys()].slice(0, -MOST)) this.#known.delete(oldest);
    return entry;
  }
}
