// What the settings ask REST for.
import type { Fetch } from "../chat/rest";
import type { Page } from "./paged";

export interface Note {
  readonly id: number;
  readonly content: string;
  /** Who was asked to remember it. */
  readonly agent: string | null;
  readonly created_at: string;
}

const PAGE = 20;

async function loadPage(fetch: Fetch, path: string, cursor: string | null): Promise<unknown> {
  const query = new URLSearchParams({ limit: String(PAGE), ...(cursor === null ? {} : { cursor }) });
  return fetch({ method: "GET", path: `${path}?${query.toString()}` });
}

export async function loadNotes(fetch: Fetch, cursor: string | null): Promise<Page<Note>> {
  const { notes, next } = (await loadPage(fetch, "/api/notes", cursor)) as { readonly notes: readonly Note[]; readonly next: string | null };
  return { rows: notes, next };
}

export async function forgetNote(fetch: Fetch, id: number): Promise<void> {
  await fetch({ method: "DELETE", path: `/api/notes/${id}` });
}

export async function forgetNotes(fetch: Fetch): Promise<void> {
  await fetch({ method: "DELETE", path: "/api/notes" });
}

/** Where somebody is signed in. */
export interface Session {
  readonly id: string;
  readonly kind: "cookie" | "program";
  readonly agent: string;
  readonly network: string;
  readonly created_at: string;
  readonly last_used_at: string;
  /** This browser's own. */
  readonly current: boolean;
}

export async function loadSessions(fetch: Fetch, cursor: string | null): Promise<Page<Session>> {
  const { sessions, next } = (await loadPage(fetch, "/api/me/sessions", cursor)) as { readonly sessions: readonly Session[]; readonly next: string | null };
  return { rows: sessions, next };
}

export async function endSession(fetch: Fetch, id: string): Promise<void> {
  await fetch({ method: "DELETE", path: `/api/me/sessions/${id}` });
}

export type Dimension = "day" | "agent" | "model";

export interface UsageRow {
  readonly group: Readonly<Partial<Record<Dimension, string>>>;
  readonly requests: number;
  readonly failed: number;
  /** Requests without a known price. */
  readonly unpriced: number;
  readonly input_tokens: number;
  readonly output_tokens: number;
  /** Dollars, as decimal text. */
  readonly cost_usd: string;
}

export interface UsageAnswer {
  readonly since: string;
  readonly until: string;
  readonly rows: readonly UsageRow[];
  readonly truncated: boolean;
  readonly total: UsageRow;
}

export interface UsageWanted {
  /** A day, or a moment. */
  readonly since: string;
  readonly until?: string;
  readonly by: Dimension;
  readonly signal: AbortSignal;
}

export async function loadUsage(fetch: Fetch, { signal, ...wanted }: UsageWanted): Promise<UsageAnswer> {
  return (await fetch({ method: "GET", path: `/api/usage?${new URLSearchParams(wanted).toString()}`, signal })) as UsageAnswer;
}

/** How much of one limit is used. Without a number of what is allowed there is none. */
export interface LimitUse {
  readonly limit: string;
  readonly used: number;
  readonly allowed: number | null;
}

export async function loadAllowance(fetch: Fetch, signal: AbortSignal): Promise<readonly LimitUse[]> {
  return ((await fetch({ method: "GET", path: "/api/usage/allowance", signal })) as { readonly allowance: readonly LimitUse[] }).allowance;
}

export interface McpServer {
  readonly name: string;
  readonly state: string;
  readonly tools: readonly unknown[];
}

export async function loadMcpServers(fetch: Fetch): Promise<readonly McpServer[]> {
  return ((await fetch({ method: "GET", path: "/api/mcp-servers" })) as { readonly mcp_servers: readonly McpServer[] }).mcp_servers;
}
