// The frames of `netra.v1` (docs/protocol.md) as types. A field without a value is absent.

export type RunStatus = "queued" | "running" | "awaiting_approval" | "completed" | "failed" | "cancelled";

/** A file of a question. Its name is the person's: text, and nothing else. */
export interface WireAttachment {
  readonly id: string;
  readonly name: string;
  readonly media_type: string;
  readonly bytes: number;
  readonly href: string;
}

export interface WireMessage {
  readonly id: string;
  readonly role: "user" | "assistant";
  readonly content: string;
  readonly parent_id?: string | null;
  readonly attachments?: readonly WireAttachment[];
}

/** The answer in a terminal event. A long one is not repeated there: it is the text of the run's chunks. */
export type WireAnswer = WireMessage | { readonly id: string; readonly role: "assistant"; readonly truncated: { readonly bytes: number } };

/** What a shortened result leaves out, and where all of it is; or as much as is kept. */
export interface Truncated {
  readonly bytes: number;
  readonly kept_bytes?: number;
  readonly href: string;
}

export interface Usage {
  readonly model: string;
  readonly input_tokens: number;
  readonly output_tokens: number;
  readonly requests: number;
  readonly cost_usd?: number | null;
}

/** The tool call that asked the event's agent, if one did. */
interface Within {
  readonly within?: string;
}

/** The type of each run event and its `data`. */
export interface RunEventData {
  message_created: { readonly message: WireMessage };
  agent_started: { readonly model: string; readonly attempt: number };
  agent_thinking: Within & { readonly step: number; readonly text: string };
  tool_executing: Within & { readonly tool_call_id: string; readonly tool: string; readonly arguments: unknown };
  tool_completed: Within & {
    readonly tool_call_id: string;
    readonly tool: string;
    readonly result?: unknown;
    readonly truncated?: Truncated;
    readonly error?: string;
    readonly duration_ms: number;
  };
  agent_response_chunk: { readonly message_id: string; readonly text: string };
  subagent_started: Within & { readonly subagent: string; readonly parent_tool_call_id: string };
  subagent_completed: Within & {
    readonly subagent: string;
    readonly parent_tool_call_id: string;
    readonly result?: unknown;
    readonly error?: string;
  };
  context_reduced: Within & {
    readonly limit_tokens: number;
    readonly estimated_tokens: number;
    readonly kept_messages: number;
    readonly dropped_messages: number;
    readonly shortened_results: number;
  };
  approval_required: Within & {
    readonly tool_call_id: string;
    readonly tool: string;
    readonly arguments: unknown;
    readonly truncated?: Truncated;
    readonly expires_in: number;
  };
  approval_resolved: {
    readonly tool_call_id: string;
    readonly approved: boolean;
    readonly by: "user" | "expired" | "cancelled";
    readonly reason?: string;
  };
  agent_restarted: { readonly attempt: number; readonly reason: string };
  agent_completed: { readonly message: WireAnswer; readonly usage: Usage; readonly duration_ms: number };
  agent_error: {
    readonly error_code: string;
    readonly error_message: string;
    readonly retryable: boolean;
    readonly correlation_id?: string;
    readonly message?: WireAnswer;
  };
  agent_cancelled: { readonly by: "user" | "interrupt" | "deleted" | "staff" | "deactivated"; readonly message?: WireAnswer };
}

export type RunEventType = keyof RunEventData;

export type RunEvent = {
  [Type in RunEventType]: {
    readonly type: Type;
    readonly thread_id: string;
    readonly run_id: string;
    readonly run_number: number;
    readonly seq: number;
    readonly timestamp: string;
    readonly agent: string;
    readonly data: RunEventData[Type];
  };
}[RunEventType];

export interface ThreadSummary {
  readonly id: string;
  readonly title: string;
  readonly created_at: string;
  readonly updated_at: string;
  readonly archived?: boolean;
  readonly open_runs?: number;
}

export interface OpenRun {
  readonly run_id: string;
  readonly run_number: number;
  readonly thread_id: string;
  readonly status: RunStatus;
  readonly last_seq: number;
}

export type Limits = { readonly max_message_bytes: number } & Readonly<Record<string, number>>;

export interface ConnectionEstablished {
  readonly type: "connection_established";
  readonly connection_id: string;
  readonly user: { readonly id: string; readonly username: string };
  readonly server_time: string;
  readonly services: Readonly<Record<string, string>>;
  readonly agents: readonly string[];
  readonly last_run_number: number;
  readonly threads_version: number;
  readonly open_runs: readonly OpenRun[];
  readonly token: { readonly expires_in: number };
  readonly heartbeat: { readonly interval_seconds: number };
  readonly limits: Limits;
}

export interface ErrorMessage {
  readonly type: "error_message";
  readonly error_code: string;
  readonly error_message: string;
  readonly ref?: string;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly retry_after?: number;
}

export interface Resumed {
  readonly type: "resumed";
  readonly ref?: string;
  readonly runs: Readonly<
    Record<string, { readonly run_number: number; readonly status: RunStatus; readonly from_seq: number; readonly last_seq: number }>
  >;
  readonly snapshot_required: readonly string[];
  readonly gone: readonly string[];
  readonly reload?: true;
}

export interface ThreadNotice {
  readonly type: "thread_created" | "thread_updated" | "thread_deleted";
  readonly thread: ThreadSummary;
  readonly threads_version: number;
}

export interface MessageAccepted {
  readonly type: "message_accepted";
  readonly ref?: string;
  readonly thread_id: string;
  readonly message_id: string;
  readonly run_id: string;
  readonly run_number: number;
  readonly allowance?: readonly AllowanceUse[];
}

/** How much of what the person may use in a day is used. */
export interface AllowanceUse {
  readonly limit: string;
  readonly used: number;
  readonly allowed: number;
  /** Seconds. */
  readonly resets_in: number;
}

export type Frame =
  | RunEvent
  | ConnectionEstablished
  | ErrorMessage
  | Resumed
  | ThreadNotice
  | MessageAccepted
  | { readonly type: "pong"; readonly ref?: string; readonly threads_version: number }
  | { readonly type: "run_stopped"; readonly ref?: string; readonly run_id: string; readonly status: RunStatus }
  | { readonly type: "approval_accepted"; readonly ref?: string; readonly run_id: string; readonly tool_call_id: string }
  | { readonly type: "token_refreshed"; readonly ref?: string; readonly expires_in: number }
  | { readonly type: "token_expiring"; readonly expires_in: number }
  | { readonly type: "server_draining"; readonly reconnect_after_ms: number }
  | { readonly type: "snapshot_required"; readonly run_ids: readonly string[] };

export type Cursors = Readonly<Record<string, number>>;

export type Command =
  | { readonly type: "ping"; readonly ref?: string }
  | {
      readonly type: "user_message";
      readonly ref: string;
      readonly message_id: string;
      readonly content: string;
      readonly thread_id?: string;
      readonly agent?: string;
      readonly edits?: string;
      readonly parent_id?: string;
      readonly when_busy?: "interrupt" | "reject";
      readonly attachments?: readonly string[];
    }
  | { readonly type: "regenerate"; readonly ref: string; readonly message_id: string; readonly agent?: string }
  | { readonly type: "stop_run"; readonly ref: string; readonly run_id: string }
  | {
      readonly type: "resolve_approval";
      readonly ref: string;
      readonly run_id: string;
      readonly tool_call_id: string;
      readonly approved: boolean;
      readonly reason?: string;
    }
  | { readonly type: "resume"; readonly ref?: string; readonly cursors: Cursors; readonly after_run?: number }
  | { readonly type: "ack"; readonly cursors: Cursors; readonly received: number }
  | { readonly type: "refresh_token"; readonly ref?: string; readonly token: string };

/** The frame in a text of the socket, or null when it is none: an unknown type is a newer server's and is passed on. */
export function parseFrame(text: string): Frame | null {
  try {
    const frame: unknown = JSON.parse(text);
    return typeof frame === "object" && frame !== null && "type" in frame && typeof frame.type === "string" ? (frame as Frame) : null;
  } catch {
    return null;
  }
}

const OPEN: ReadonlySet<RunStatus> = new Set<RunStatus>(["queued", "running", "awaiting_approval"]);

export function isOpen(status: RunStatus): boolean {
  return OPEN.has(status);
}

/** Run events are the frames with a place in a run's log. */
export function isRunEvent(frame: Frame): frame is RunEvent {
  return "seq" in frame && "run_id" in frame;
}
