// Where the person is signed in, and what a browser or a program calls itself.
import type { Fetch } from "../chat/rest";
import { PagedList } from "./paged";
import { endSession, loadSessions, type Session } from "./rest";

export class Sessions extends PagedList<Session> {
  #fetch: Fetch;

  constructor(fetch: Fetch) {
    super((cursor) => loadSessions(fetch, cursor));
    this.#fetch = fetch;
  }

  /** Rejects with RestError. One that has ended already is signed out, too. */
  async end(session: Session): Promise<void> {
    await this.without(session, "SESSION_NOT_FOUND", () => endSession(this.#fetch, session.id));
  }
}

/** In this order: each of them claims to be some of those below it. */
const BROWSERS: readonly (readonly [RegExp, string])[] = [
  [/\bEdg(?:A|iOS)?\//, "Edge"],
  [/\b(?:OPR|Opera)\//, "Opera"],
  [/\bSamsungBrowser\//, "Samsung"],
  [/\b(?:Firefox|FxiOS)\//, "Firefox"],
  [/(?:Chrome|CriOS)\//, "Chrome"],
  [/\bSafari\//, "Safari"],
];
const SYSTEMS: readonly (readonly [RegExp, string])[] = [
  [/\biPhone\b/, "iPhone"],
  [/\biPad\b/, "iPad"],
  [/\bAndroid\b/, "Android"],
  [/\bWindows\b/, "Windows"],
  [/\bCrOS\b/, "ChromeOS"],
  [/\bMac OS X\b/, "macOS"],
  [/\bLinux\b/, "Linux"],
];
const LONGEST_NAME = 40;

export interface AgentName {
  /** A browser's, or the first word of what a program says of itself; empty when nothing was said. */
  readonly name: string;
  readonly system: string | null;
}

/** What a `User-Agent` says. Anybody may say anything. */
export function agentName(agent: string): AgentName {
  const named = (table: readonly (readonly [RegExp, string])[]): string | null => table.find(([pattern]) => pattern.test(agent))?.[1] ?? null;
  const browser = agent.startsWith("Mozilla/") ? named(BROWSERS) : null;
  return { name: browser ?? (agent.split(/[\s/]/)[0] ?? "").slice(0, LONGEST_NAME), system: browser === null ? null : named(SYSTEMS) };
}
