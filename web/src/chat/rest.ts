// What REST tells of threads, messages and runs.
import type { MessageAccepted, RunStatus, ThreadSummary, Usage, WireAttachment } from "../protocol/frames";
import { RestError, type RestRequest } from "../session/rest";

export type Fetch = (wanted: Omit<RestRequest, "token">) => Promise<unknown>;

export interface Me {
  readonly id: string | number;
  readonly username: string;
  readonly email: string;
  /** The server may have it no more. */
  readonly default_agent: string | null;
}

export interface RestMessage {
  readonly id: string;
  readonly role: "user" | "assistant";
  readonly content: string;
  readonly parent_id: string | null;
  readonly created_at: string;
  readonly run_id: string | null;
  readonly partial: boolean;
  readonly attachments: readonly WireAttachment[];
  /** What stands in its place in any branch, itself included. */
  readonly siblings: readonly string[];
  readonly feedback: Feedback | null;
}

/** What the person thinks of an answer. */
export interface Feedback {
  readonly rating: "up" | "down";
  readonly text: string;
}

export interface RestRun {
  readonly id: string;
  readonly run_number: number;
  readonly status: RunStatus;
  readonly agent: string;
  readonly input_message_id: string;
  readonly output_message_id: string | null;
  readonly last_seq: number;
  readonly error_code: string | null;
  readonly error_message: string | null;
  readonly cancelled_by: "user" | "interrupt" | "deleted" | "staff" | "deactivated" | null;
  readonly duration_ms: number | null;
  readonly usage: Usage | null;
}

export interface RestApproval {
  readonly tool_call_id: string;
  readonly arguments: unknown;
}

/** The newest message of a thread that says what was searched for: the part of it around that. */
export interface ThreadMatch {
  readonly thread_id: string;
  readonly text: string;
}

export interface ThreadsPage {
  readonly threads_version: number;
  readonly threads: readonly ThreadSummary[];
  readonly matches: readonly ThreadMatch[];
  readonly next: string | null;
}

export interface MessagesPage {
  readonly messages: readonly RestMessage[];
  readonly runs: readonly RestRun[];
  readonly previous: string | null;
}

const PAGE = 50;

export async function loadMe(fetch: Fetch): Promise<Me> {
  return (await fetch({ method: "GET", path: "/api/me" })) as Me;
}

export async function changeMe(fetch: Fetch, change: Pick<Me, "default_agent">): Promise<Me> {
  return (await fetch({ method: "PATCH", path: "/api/me", body: change })) as Me;
}

export interface ThreadsWanted {
  readonly archived: boolean;
  readonly cursor: string | null;
  readonly search?: string;
  readonly limit?: number;
  readonly signal?: AbortSignal;
}

export async function loadThreads(fetch: Fetch, { archived, cursor, search, limit = PAGE, signal }: ThreadsWanted): Promise<ThreadsPage> {
  const query = new URLSearchParams({
    limit: String(limit),
    archived: String(archived),
    ...(search === undefined ? {} : { search }),
    ...(cursor === null ? {} : { cursor }),
  });
  return (await fetch({ method: "GET", path: `/api/threads?${query.toString()}`, ...(signal ? { signal } : {}) })) as ThreadsPage;
}

/** A thread, and the entity tag of what a person can change of it. */
export interface SeenThread {
  readonly thread: ThreadSummary;
  readonly etag: string;
}

async function seen(fetch: Fetch, wanted: Parameters<Fetch>[0]): Promise<SeenThread> {
  let etag = "";
  const thread = (await fetch({ ...wanted, heard: (headers) => (etag = headers.get("ETag") ?? "") })) as ThreadSummary;
  return { thread, etag };
}

export function seeThread(fetch: Fetch, threadId: string): Promise<SeenThread> {
  return seen(fetch, { method: "GET", path: `/api/threads/${threadId}` });
}

export interface ThreadChange {
  readonly title?: string;
  readonly archived?: boolean;
}

/** Rejects with PRECONDITION_FAILED when it is not any more what was seen under `etag`. */
export function changeThread(fetch: Fetch, threadId: string, change: ThreadChange, etag?: string): Promise<SeenThread> {
  return seen(fetch, { method: "PATCH", path: `/api/threads/${threadId}`, body: change, ...(etag ? { ifMatch: etag } : {}) });
}

export async function deleteThread(fetch: Fetch, threadId: string): Promise<void> {
  await fetch({ method: "DELETE", path: `/api/threads/${threadId}` });
}

export async function restoreThread(fetch: Fetch, threadId: string): Promise<ThreadSummary> {
  return (await fetch({ method: "POST", path: `/api/threads/${threadId}/restore` })) as ThreadSummary;
}

/** The newest branch; that of which `leaf` is the end; or the newest with a message, `through`. */
export interface BranchWanted {
  readonly leaf?: string;
  readonly through?: string;
  readonly limit?: number;
}

export async function loadMessages(fetch: Fetch, threadId: string, { limit = PAGE, ...named }: BranchWanted = {}): Promise<MessagesPage> {
  const query = new URLSearchParams({ limit: String(limit), ...named });
  return (await fetch({ method: "GET", path: `/api/threads/${threadId}/messages?${query.toString()}` })) as MessagesPage;
}

/** Null takes it back. */
export async function giveFeedback(fetch: Fetch, messageId: string, feedback: Feedback | null): Promise<void> {
  const path = `/api/messages/${messageId}/feedback`;
  await fetch(feedback ? { method: "PUT", path, body: feedback } : { method: "DELETE", path });
}

/** Ask again what a failed or cancelled run was asked. */
export async function retryRun(fetch: Fetch, runId: string): Promise<Pick<MessageAccepted, "run_id">> {
  return (await fetch({ method: "POST", path: `/api/runs/${runId}/retry` })) as Pick<MessageAccepted, "run_id">;
}

export interface AgentDescription {
  readonly name: string;
  readonly description: string;
  readonly model: string;
  /** Questions that it answers well. */
  readonly examples: readonly string[];
}

export async function loadAgents(fetch: Fetch): Promise<readonly AgentDescription[]> {
  return ((await fetch({ method: "GET", path: "/api/agents" })) as { readonly agents: readonly AgentDescription[] }).agents;
}

/** What a tool gave, whole, by the address in its event. */
export async function loadToolResult(fetch: Fetch, href: string): Promise<unknown> {
  return ((await fetch({ method: "GET", path: href })) as { readonly result: unknown }).result;
}

/** The arguments that a tool waits with, whole, by the address in its request for approval. */
export async function loadArguments(fetch: Fetch, href: string, toolCallId: string): Promise<unknown> {
  const { approvals } = (await fetch({ method: "GET", path: href })) as { readonly approvals: readonly RestApproval[] };
  const found = approvals.find((approval) => approval.tool_call_id === toolCallId);
  if (!found) throw new RestError("APPROVAL_NOT_FOUND", "There is no such request for approval", 404);
  return found.arguments;
}

export async function loadThread(fetch: Fetch, threadId: string): Promise<ThreadSummary> {
  return (await fetch({ method: "GET", path: `/api/threads/${threadId}` })) as ThreadSummary;
}
