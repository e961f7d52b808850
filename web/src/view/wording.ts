// What the page says of a state: which sentence of the catalogue, for an error, a connection, an answer, an approval.
import type { Chat } from "../chat/chat";
import type { FileFailure } from "../chat/draft_files";
import type { Obstacle } from "../chat/sending";
import type { AnswerView } from "../chat/turns";
import type { ConnectionState } from "../protocol/connection";
import type { Limits, Truncated } from "../protocol/frames";
import type { Refusal } from "../protocol/outbox";
import type { Approval, ContextStep } from "../protocol/run";
import { inSentence } from "../words/names";
import { format, words } from "../words/words";
import { toolWords } from "./step_words";

function sentenceOf(code: string): string | undefined {
  return Object.hasOwn(words.errors, code) ? words.errors[code as keyof typeof words.errors] : undefined;
}

/** The sentence of the code; the server's own words for a code without one. */
export function errorSentence(code: string, message: string): string {
  return sentenceOf(code) ?? (message === "" ? words.error.code(code) : sentence(message));
}

const TELLING: ReadonlySet<string> = new Set(["MODEL_ERROR", "INVALID_MESSAGE", "SERVICE_UNAVAILABLE", "WORKER_LOST", "RUN_TIMEOUT"]);

/** What one can do about it. */
export function errorAdvice(code: string): string | null {
  return Object.hasOwn(words.advice, code) ? words.advice[code as keyof typeof words.advice] : null;
}

/** What the server says beyond the sentence of its code, where that tells more. */
export function errorDetail(code: string, message: string): string | null {
  return TELLING.has(code) && message !== "" && sentenceOf(code) !== undefined ? sentence(message) : null;
}

export function sentence(text: string): string {
  const trimmed = text.trim();
  return trimmed.charAt(0).toUpperCase() + trimmed.slice(1) + (/[.!?…]$/.test(trimmed) ? "" : ".");
}

/** What to do about a file that is not taken. */
export function failureSentence({ code, message, retryAfter }: FileFailure, limits: Limits | null): string {
  const say = words.files;
  const [most, largest] = [limits?.["max_attachments"], limits?.["max_attachment_bytes"]];
  if (code === "ATTACHMENT_TOO_LARGE" && largest !== undefined) return say.largest(largest);
  if (code === "TOO_MANY_ATTACHMENTS" && most !== undefined) return say.most(most);
  if (code === "RATE_LIMITED") return [say.tooFast, retryAfter ? say.goesOn(Math.ceil(retryAfter)) : ""].join(" ").trim();
  return errorSentence(code, message);
}

export function obstacleWords(obstacle: Obstacle | null, withFiles: boolean): string | null {
  switch (obstacle) {
    case "files on their way":
      return words.files.onTheirWay;
    case "files missing":
      return words.files.missing;
    case "too long":
      return words.composer.tooLong;
    case "nothing written":
      return withFiles ? words.files.askAboutThem : null;
    case null:
      return null;
  }
}

/** Who may be asked instead, where the refusal says so. */
export function agentsInstead(chat: Chat, { error_code: code, details }: Refusal): readonly string[] {
  const named = code === "IMAGES_NOT_SUPPORTED" ? details?.["agents"] : null;
  const offered = new Set(chat.agents.offered.value.map((agent) => agent.name));
  return Array.isArray(named) ? named.filter((name) => typeof name === "string" && offered.has(name)) : [];
}

export function waitSentence(seconds: number): string {
  return words.error.wait(Math.ceil(seconds));
}

export interface ConnectionWords {
  readonly state: "connected" | "connecting" | "offline";
  readonly text: string;
}

export function connectionWords({ phase, failures, error, code }: ConnectionState, online: boolean): ConnectionWords {
  const say = words.connection;
  if (phase === "connected") return { state: "connected", text: say.connected };
  const reason = error && errorSentence(error.error_code, error.error_message);
  if (phase === "stopped") return { state: "offline", text: reason ?? say.refused };
  if (!online) return { state: "offline", text: say.offline };
  if (code === 4412) return { state: "connecting", text: say.restarting };
  if (failures >= 2) return { state: "offline", text: say.tryingAgain(reason ?? words.errors.UNREACHABLE) };
  return { state: "connecting", text: failures > 0 ? say.reconnecting : say.connecting };
}

/** What an answer is doing, or null when it has ended. `writing`: its text has grown since its last step. */
export function activity(view: AnswerView, writing: boolean): string | null {
  switch (view.status) {
    case "queued":
      if (view.attempt > 1) return words.activity.workerLost(view.attempt);
      return view.text !== "" || view.steps.length > 0 ? words.activity.continuing : words.activity.starting;
    case "awaiting_approval":
      return words.activity.approval;
    case "running":
      return runningWords(view, writing);
    default:
      return null;
  }
}

function runningWords({ steps }: AnswerView, writing: boolean): string {
  const asked = steps.flatMap((step) => (step.kind === "subagent" && step.status === "running" ? [step] : []));
  const asking = new Set(asked.map((step) => step.parent_tool_call_id));
  const tool = steps.findLast((step) => step.kind === "tool" && step.status === "running" && !asking.has(step.tool_call_id));
  const agent = asked.at(-1);
  if (tool?.kind === "tool") return words.activity.using(inSentence(toolWords(tool.tool)));
  if (agent) return words.activity.asking(inSentence(agent.subagent));
  return writing ? words.activity.writing : words.activity.thinking;
}

export function modelWords(model: string): string {
  return Object.hasOwn(words.models, model) ? words.models[model as keyof typeof words.models] : model;
}

/** What an answer took, in short. */
export function smallPrint({ usage, model, durationMs }: AnswerView): string {
  const tokens = usage ? usage.input_tokens + usage.output_tokens : 0;
  const parts = [
    modelWords(model ?? ""),
    durationMs === null ? "" : format.duration(durationMs),
    tokens > 0 ? words.usage.tokens(tokens) : "",
    usage?.cost_usd ? format.cost(usage.cost_usd) : "",
  ];
  return parts.filter((part) => part !== "").join(" · ");
}

export function contextWords({ dropped_messages, shortened_results }: ContextStep): string {
  return words.steps.contextReduced(dropped_messages, shortened_results);
}

/** What waits for the person; null when nothing does. */
export function approvalWords({ status, approvals }: AnswerView): string | null {
  const open = Object.values(approvals).filter((approval) => approval.approved === null);
  if (status !== "awaiting_approval" || open.length === 0) return null;
  return open.map(({ agent, tool }) => words.approval.waits(inSentence(agent), inSentence(toolWords(tool)))).join(". ");
}

/** What became of a request for approval; null while it is open. `ended`: the run has ended, and the request with it. */
export function approvalOutcome({ approved, by }: Approval, ended: boolean): string | null {
  const say = words.approval;
  if (approved === true) return say.approved;
  if (approved === null) return ended ? say.cancelled : null;
  return by === "expired" ? say.expired : by === "cancelled" ? say.cancelled : say.denied;
}

/** How long there is to answer. */
export function timeLeft(milliseconds: number): string {
  if (milliseconds <= 0) return words.approval.timeIsUp;
  const seconds = Math.ceil(milliseconds / 1000);
  if (seconds < 60) return words.approval.secondsLeft(seconds);
  if (seconds < 600) return words.approval.clockLeft(seconds);
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? words.approval.minutesLeft(minutes) : words.approval.hoursLeft(Math.round(minutes / 60));
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
  return kept_bytes === undefined ? words.steps.showAll(bytes) : words.steps.showFirst(kept_bytes, bytes);
}
