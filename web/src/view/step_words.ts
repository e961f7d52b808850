// What the page says of a run's steps, of how it ended, and of what it took. Pure.
import type { AnswerView } from "../chat/turns";
import type { UsageSums } from "../chat/thread_usage";
import type { Usage } from "../protocol/frames";
import type { ThinkingStep } from "../protocol/run";
import { format, words } from "../words/words";
import type { CardStatus } from "./step_card";

const AT_LEAST_MS = 1000;

/** How the run is that a step belongs to: what still runs in one that has ended was cut short by its end. */
export type RunPhase = "running" | "waiting" | "completed" | "failed" | "cancelled";

export function phaseOf({ status }: Pick<AnswerView, "status">): RunPhase {
  switch (status) {
    case "awaiting_approval":
      return "waiting";
    case "completed":
    case "failed":
    case "cancelled":
      return status;
    // One in the queue goes on soon: after an approval it has steps that were begun.
    default:
      return "running";
  }
}

export function hasEnded(phase: RunPhase): boolean {
  return phase !== "running" && phase !== "waiting";
}

/** A step of a run in this phase. */
export function statusIn(phase: RunPhase, status: "running" | "completed" | "failed"): CardStatus {
  if (status !== "running" || phase === "running") return status;
  return phase === "waiting" ? "waiting" : phase === "cancelled" ? "stopped" : "interrupted";
}

export function statusWords(status: CardStatus): string {
  return words.steps.statuses[status];
}

/** A tool's name as words: `send_letter` and `sendLetter` are "Send letter". */
export function toolWords(name: string): string {
  const spaced = name.replace(/[_\-.]+/g, " ").replace(/(\p{Ll})(\p{Lu})/gu, (_, a: string, b: string) => `${a} ${b.toLowerCase()}`).trim();
  return spaced === "" ? name : spaced.charAt(0).toUpperCase() + spaced.slice(1);
}

export function isThinking(step: ThinkingStep, phase: RunPhase): boolean {
  return phase === "running" && step.ended_at === undefined;
}

/** How long was thought; of what was cut short without a word, nobody knows. */
export function thoughtWords({ began_at, ended_at }: ThinkingStep): string {
  const took = ended_at === undefined ? 0 : Date.parse(ended_at) - Date.parse(began_at);
  return took < AT_LEAST_MS ? words.steps.thoughtBriefly : words.steps.thoughtFor(format.elapsed(took));
}

/** The end of what is being thought: a line that moves on, as long as a hint is. */
export function lastLine(text: string, length: number): string {
  return text.trimEnd().split("\n").at(-1)?.slice(-length) ?? "";
}

/** The thought of the agent that the person asked, while it goes on. */
function openThought({ steps }: AnswerView): ThinkingStep | null {
  const latest = steps.findLast((step) => step.kind === "thinking" && step.within === undefined);
  return latest?.kind === "thinking" && latest.ended_at === undefined ? latest : null;
}

/** Whether the text is what is going on: no step is. */
export function isWriting(view: AnswerView): boolean {
  const busy = view.steps.some((step) => (step.kind === "tool" || step.kind === "subagent") && step.status === "running");
  return view.text !== "" && !busy && openThought(view) === null;
}

/** Since when the answer is thought about without a word of it. */
export function silentSince(view: AnswerView): string | null {
  const thought = view.status === "running" ? openThought(view) : null;
  return thought?.text === "" ? thought.began_at : null;
}

/** Whether a run was taken out of the queue before any of it was done. */
export function neverBegan({ status, model, text, steps, durationMs }: AnswerView): boolean {
  return status === "cancelled" && model === null && text === "" && steps.length === 0 && durationMs === null;
}

/** Why an answer is not whole; null for one that is, or goes on. */
export function outcome(view: AnswerView): string | null {
  if (view.status === "failed") return view.text === "" ? null : words.answer.incomplete;
  if (view.status !== "cancelled") return null;
  if (neverBegan(view)) return words.answer.neverBegan;
  switch (view.cancelledBy) {
    case "interrupt":
      return words.answer.interrupted;
    case "deleted":
      return words.answer.deleted;
    case "staff":
      return words.answer.staff;
    case "deactivated":
      return words.answer.deactivated;
    default:
      return words.answer.stopped;
  }
}

/** What all requests of a thread took. A cost that lacks some of them says so. */
export function threadFigures({ runs, requests, unpriced, input_tokens, output_tokens, cost_usd }: UsageSums): Figure[] {
  const say = words.usage;
  const priced = requests - unpriced;
  const cost = Number(cost_usd);
  const known = cost === 0 ? say.free : format.exactCost(cost);
  return [
    { name: say.answers, value: format.number(runs) },
    { name: say.requests, value: format.number(requests) },
    { name: say.read, value: format.number(input_tokens) },
    { name: say.written, value: format.number(output_tokens) },
    { name: say.cost, value: priced === 0 ? say.unpriced : unpriced === 0 ? known : say.partlyPriced(known, unpriced) },
  ];
}

export interface Figure {
  readonly name: string;
  readonly value: string;
}

/** What requests took, as figures with their names. `cost`: dollars; null where no price is known. */
export function figures({ requests, input_tokens, output_tokens }: Usage, cost: number | null): Figure[] {
  const say = words.usage;
  return [
    { name: say.requests, value: format.number(requests) },
    { name: say.read, value: format.number(input_tokens) },
    { name: say.written, value: format.number(output_tokens) },
    { name: say.cost, value: cost === null ? say.unpriced : cost === 0 ? say.free : format.exactCost(cost) },
  ];
}
