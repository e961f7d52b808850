// The settings lie over the chat, and have addresses of their own. What they lie over stays as it is.
import { signal } from "@preact/signals";

export const SECTIONS = ["general", "notes", "usage", "data", "account", "about"] as const;
export type Section = (typeof SECTIONS)[number];

/** Without a section: the list of them, and beside it, where there is room, the first. */
export interface SettingsAddress {
  readonly section: Section | null;
}

/** What the browser's history keeps of an entry: the address that the settings were opened from, and how many entries back it is. */
interface Opening {
  readonly behind: string;
  readonly depth: number;
}

const ADDRESS = /^\/settings(?:\/([\w-]+))?\/?$/;

/** Null elsewhere. A section that there is not is none. */
export function settingsInAddress(path: string): SettingsAddress | null {
  const found = ADDRESS.exec(path);
  return found && { section: SECTIONS.find((section) => section === found[1]) ?? null };
}

export function addressOfSettings(section: Section | null): string {
  return section === null ? "/settings" : `/settings/${section}`;
}

/** Null for an entry to which a link from elsewhere has led. */
export function openingIn(state: unknown): Opening | null {
  const given = typeof state === "object" && state !== null ? (state as Record<string, unknown>) : {};
  const { behind, depth } = given;
  return typeof behind === "string" && /^\/(?!\/)/.test(behind) && typeof depth === "number" && depth > 0 ? { behind, depth } : null;
}

export class SettingsPlace {
  readonly shown = signal<SettingsAddress | null>(settingsInAddress(location.pathname));

  /** The address of what the settings lie over, when they were opened. */
  #behind: string | null = this.shown.peek() && (openingIn(history.state)?.behind ?? null);
  #home: () => string;
  /** The browser goes back a moment after it is told to. */
  #closing = false;

  /** `home` is the address of what the settings lie over, as it is now. */
  constructor(home: () => string) {
    this.#home = home;
  }

  /** The address of the chat: of what lies behind the settings while they are open. */
  static chatAddress(): string {
    return settingsInAddress(location.pathname) ? (openingIn(history.state)?.behind ?? "/") : location.pathname;
  }

  open(section: Section | null = null): void {
    if (this.shown.peek()) {
      this.go(section);
      return;
    }
    this.#behind = location.pathname;
    this.#enter(section, { behind: this.#behind, depth: 1 });
  }

  go(section: Section | null): void {
    if (this.shown.peek()?.section === section) return;
    const opening = openingIn(history.state);
    this.#enter(section, opening && { ...opening, depth: opening.depth + 1 });
  }

  /** From a section to the list of them, where that is a page of its own. */
  up(): void {
    if ((openingIn(history.state)?.depth ?? 0) > 1) history.back();
    else {
      history.replaceState(history.state, "", addressOfSettings(null));
      this.shown.value = { section: null };
    }
  }

  /** Back to where one was: also for the browser's Back. */
  close(): void {
    if (!this.shown.peek() || this.#closing) return;
    const opening = openingIn(history.state);
    if (opening) {
      this.#closing = true;
      history.go(-opening.depth);
      return;
    }
    history.replaceState(null, "", this.#home());
    this.shown.value = null;
  }

  /** Something else is shown instead, and has its address. */
  left(): void {
    this.shown.value = null;
  }

  /** The person went back or forward. True: the chat is as it was, behind the settings or after them. */
  addressChanged(): boolean {
    const before = this.shown.peek();
    this.#closing = false;
    this.shown.value = settingsInAddress(location.pathname);
    if (this.shown.peek()) {
      if (!before) this.#behind = openingIn(history.state)?.behind ?? null;
      return true;
    }
    if (!before || location.pathname !== this.#behind) return false;
    // A new conversation may have become a thread meanwhile, and a thread may be gone.
    history.replaceState(null, "", this.#home());
    return true;
  }

  #enter(section: Section | null, opening: Opening | null): void {
    history.pushState(opening, "", addressOfSettings(section));
    this.shown.value = { section };
  }
}
