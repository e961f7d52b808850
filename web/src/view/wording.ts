// What the page says: a sentence for each error code, and for what an answer is doing.
import type { AnswerView } from "../chat/turns";
import type { ConnectionState } from "../protocol/connection";
import type { Truncated } from "../protocol/frames";

const SENTENCES: Record<string, string> = {
  UNREACHABLE: "The server cannot be reached.",
  INVALID_CREDENTIALS: "The user name or the password is not right.",
  USER_INACTIVE: "This account has been deactivated.",
  ORIGIN_NOT_ALLOWED: "The server does not accept connections from this address.",
  TOO_MANY_CONNECTIONS: "Too many tabs or devices are connected. Close one of them.",
  SERVICE_UNAVAILABLE: "The server is not ready at the moment.",
  WINDOW_FULL: "The connection could not keep up.",
  RATE_LIMITED: "You are sending messages faster than the server allows.",
  TOO_MANY_RUNS: "Too many answers are being written at once. Wait for one to finish, or stop one.",
  MESSAGE_TOO_LARGE: "The message is too long.",
  RUN_ACTIVE: "An answer is still being written here.",
  THREAD_NOT_FOUND: "This conversation does not exist any more.",
  THREAD_DELETED: "The conversation was deleted.",
  AGENT_NOT_FOUND: "The server does not know this agent.",
  MODEL_ERROR: "The language model failed.",
  RUN_TIMEOUT: "The answer took too long and was ended.",
  WORKER_LOST: "The program that wrote the answer was lost, and it could not be begun again.",
  APPROVAL_EXPIRED: "Nobody approved the step in time.",
  INTERNAL_ERROR: "Something went wrong on the server.",
};

/** The sentence of the code; the server's own words for a code without one. */
export function errorSentence(code: string, message: string): string {
  return SENTENCES[code] ?? (message === "" ? `The server answered ${code}.` : sentence(message));
}

const TELLING: ReadonlySet<string> = new Set(["MODEL_ERROR", "INVALID_MESSAGE", "SERVICE_UNAVAILABLE", "WORKER_LOST"]);

/** What the server says beyond the sentence of its code, where that tells more. */
export function errorDetail(code: string, message: string): string | null {
  return TELLING.has(code) && message !== "" && code in SENTENCES ? sentence(message) : null;
}

function sentence(text: string): string {
  const trimmed = text.trim();
  return trimmed.charAt(0).toUpperCase() + trimmed.slice(1) + (/[.!?…]$/.test(trimmed) ? "" : ".");
}

export function waitSentence(seconds: number): string {
  const whole = Math.ceil(seconds);
  return `Try again in ${whole} second${whole === 1 ? "" : "s"}.`;
}

export interface ConnectionWords {
  readonly state: "connected" | "connecting" | "offline";
  readonly text: string;
}

export function connectionWords({ phase, failures, error, code }: ConnectionState, online: boolean): ConnectionWords {
  if (phase === "connected") return { state: "connected", text: "Connected" };
  const reason = error && errorSentence(error.error_code, error.error_message);
  if (phase === "stopped") return { state: "offline", text: reason ?? "The server refused the connection." };
  if (!online) return { state: "offline", text: "You are offline." };
  if (code === 4412) return { state: "connecting", text: "The server is restarting…" };
  if (failures >= 2) return { state: "offline", text: `${reason ?? SENTENCES["UNREACHABLE"]} Trying again…` };
  return { state: "connecting", text: failures > 0 ? "Reconnecting…" : "Connecting…" };
}

/** What an answer is doing, or null when it has ended. `writing`: its text has grown since its last step. */
export function activity(view: AnswerView, writing: boolean): string | null {
  switch (view.status) {
    case "queued":
      if (view.attempt > 1) return "The worker was lost. Starting again…";
      return view.text !== "" || view.steps.length > 0 ? "Continuing soon…" : "Waiting to start…";
    case "awaiting_approval":
      return "Waiting for approval…";
    case "running":
      return runningWords(view, writing);
    default:
      return null;
  }
}

function runningWords({ steps }: AnswerView, writing: boolean): string {
  const tool = steps.findLast((step) => step.kind === "tool" && step.status === "running");
  if (tool?.kind === "tool") return `Using ${tool.tool}…`;
  const agent = steps.findLast((step) => step.kind === "subagent" && step.status === "running");
  if (agent?.kind === "subagent") return `Asking ${agent.subagent}…`;
  return writing ? "Writing…" : "Thinking…";
}

export function outcome(view: AnswerView): string | null {
  if (view.status !== "cancelled") return null;
  return view.cancelledBy === "interrupt" ? "Interrupted by the next message" : "Stopped";
}

export function duration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 9950) return `${(milliseconds / 1000).toFixed(1)} s`;
  const seconds = Math.round(milliseconds / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** The small print under an answer. */
export function smallPrint({ usage, durationMs }: AnswerView): string {
  const tokens = usage ? usage.input_tokens + usage.output_tokens : 0;
  const parts = [
    usage?.model ?? "",
    durationMs === null ? "" : duration(durationMs),
    tokens > 0 ? `${tokens.toLocaleString("en")} tokens` : "",
    usage?.cost_usd ? `$${usage.cost_usd.toPrecision(2)}` : "",
  ];
  return parts.filter((part) => part !== "").join(" · ");
}

/** What the button promises that shows the rest of a result. */
export function leftOut({ bytes, kept_bytes }: Truncated): string {
  return kept_bytes === undefined ? `Show all (${size(bytes)})` : `Show the first ${size(kept_bytes)} of ${size(bytes)}`;
}

function size(bytes: number): string {
  return bytes < 1_000_000 ? `${Math.round(bytes / 1000)} KB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
