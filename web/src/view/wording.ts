// What the page says: a sentence for each error code, and for what an answer is doing.
import type { AnswerView } from "../chat/turns";
import type { ConnectionState } from "../protocol/connection";
import type { Truncated, Usage } from "../protocol/frames";
import type { Approval, ContextStep } from "../protocol/run";

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
  APPROVAL_NOT_FOUND: "Nothing waits for this approval any more.",
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
      return "Waiting for your approval…";
    case "running":
      return runningWords(view, writing);
    default:
      return null;
  }
}

function runningWords({ steps }: AnswerView, writing: boolean): string {
  const asking = steps.findLast((step) => step.kind === "subagent" && step.status === "running");
  const asked = asking?.kind === "subagent" ? asking : null;
  const tool = steps.findLast(
    (step) => step.kind === "tool" && step.status === "running" && step.tool_call_id !== asked?.parent_tool_call_id,
  );
  if (tool?.kind === "tool") return `Using ${tool.tool}…`;
  if (asked) return `Asking ${asked.subagent}…`;
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

/** Models whose name alone would promise too much. */
const PLAIN_WORDS: Record<string, string> = {
  offline: "offline: fixed rules, no language model",
  local: "local: SmolLM2-135M, small and often wrong",
};

function modelWords(model: string): string {
  return PLAIN_WORDS[model] ?? model;
}

/** What an answer took, in short. */
export function smallPrint({ usage, model, durationMs }: AnswerView): string {
  const tokens = usage ? usage.input_tokens + usage.output_tokens : 0;
  const parts = [
    modelWords(model ?? ""),
    durationMs === null ? "" : duration(durationMs),
    tokens > 0 ? `${counted(tokens, "token")}` : "",
    usage?.cost_usd ? dollars(usage.cost_usd) : "",
  ];
  return parts.filter((part) => part !== "").join(" · ");
}

/** The same, told to whoever wants to know exactly. */
export function usageWords({ model, input_tokens, output_tokens, requests, cost_usd }: Usage): string {
  const cost = typeof cost_usd === "number" ? `, ${cost_usd === 0 ? "free of charge" : `$${plainNumber(cost_usd)}`}` : "";
  const read = `${counted(input_tokens, "token")} read, ${counted(output_tokens, "token")} written`;
  return `${modelWords(model)}: ${counted(requests, "request")}, ${read}${cost}`;
}

function dollars(amount: number): string {
  if (amount < 0.0001) return "< $0.0001";
  return `$${amount < 1 ? plainNumber(Number(amount.toPrecision(2))) : amount.toFixed(2)}`;
}

function plainNumber(amount: number): string {
  return amount.toLocaleString("en", { maximumFractionDigits: 8 });
}

function counted(count: number, thing: string): string {
  return `${count.toLocaleString("en")} ${thing}${count === 1 ? "" : "s"}`;
}

export function contextWords({ dropped_messages: dropped, shortened_results: shortened }: ContextStep): string {
  const were = (count: number): string => (count === 1 ? "was" : "were");
  const left = dropped > 0 ? `${counted(dropped, "earlier message")} ${were(dropped)} left out` : "";
  const cut = shortened > 0 ? `${counted(shortened, "tool result")} ${were(shortened)} shortened` : "";
  return `To fit the model's context, ${[left, cut].filter((part) => part !== "").join(" and ") || "earlier messages were summed up"}`;
}

/** What waits for the person; null when nothing does. */
export function approvalWords({ status, approvals }: AnswerView): string | null {
  const open = Object.values(approvals).filter((approval) => approval.approved === null);
  if (status !== "awaiting_approval" || open.length === 0) return null;
  return open.map(({ agent, tool }) => `${agent} wants to use ${tool} and waits for your approval`).join(". ");
}

/** What became of a request for approval; null while it is open. `ended`: the run has ended, and the request with it. */
export function approvalOutcome({ approved, by }: Approval, ended: boolean): string | null {
  if (approved === true) return "approved";
  if (approved === null) return ended ? "cancelled" : null;
  return by === "expired" ? "not answered in time" : by === "cancelled" ? "cancelled" : "denied";
}

/** How long there is to answer. */
export function timeLeft(milliseconds: number): string {
  if (milliseconds <= 0) return "The time is up";
  const seconds = Math.ceil(milliseconds / 1000);
  if (seconds < 60) return `${counted(seconds, "second")} left`;
  if (seconds < 600) return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")} left`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${counted(minutes, "minute")} left` : `${counted(Math.round(minutes / 60), "hour")} left`;
}

/** Characters that are not seen, or that turn the direction of what follows, are named instead of obeyed. */
export function visible(text: string): string {
  return text.replace(/(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\u115f\u1160\u2800\u3164\uffa0]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
  });
}

/** What the button promises that shows the rest of a result. */
export function leftOut({ bytes, kept_bytes }: Truncated): string {
  return kept_bytes === undefined ? `Show all (${size(bytes)})` : `Show the first ${size(kept_bytes)} of ${size(bytes)}`;
}

function size(bytes: number): string {
  return bytes < 1_000_000 ? `${Math.round(bytes / 1000)} KB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
