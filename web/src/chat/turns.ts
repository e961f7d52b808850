// A thread as the person reads it: each question with the answers to it, from what REST showed, what the connection
// brought, and what is still in the outbox. Pure.
import type { RunStatus, Usage, WireAttachment, WireMessage } from "../protocol/frames";
import { isOpen } from "../protocol/frames";
import type { OutgoingMessage, Refusal } from "../protocol/outbox";
import type { Approval, RunState, Step } from "../protocol/run";
import type { History } from "./history";
import type { RestMessage, RestRun } from "./rest";

export interface Question {
  readonly id: string;
  readonly content: string;
  readonly attachments: readonly WireAttachment[];
  /** `waiting`: it has never left this page, and can be taken back. */
  readonly state: "waiting" | "sending" | "sent" | "refused";
  readonly refusal: Refusal | null;
  /** On its way to take the place of an answer that is being written. */
  readonly interrupts?: boolean;
}

/** What is known of one answer, from either side. */
export interface Answer {
  readonly runId: string;
  readonly live: RunState | null;
  readonly rest: RestRun | null;
  readonly message: RestMessage | null;
}

export interface Turn {
  readonly key: string;
  readonly question: Question | null;
  readonly answers: readonly Answer[];
}

export interface Sources {
  readonly threadId: string | null;
  readonly conversation: string;
  readonly history: History;
  readonly runs: Readonly<Record<string, RunState>>;
  readonly outbox: readonly OutgoingMessage[];
}

interface Draft {
  order: number;
  question: Question | null;
  answers: Map<string, { order: number; answer: Answer }>;
}

export function turnsOf(sources: Sources): Turn[] {
  const drafts = new Map<string, Draft>();
  const at = (key: string, order: number): Draft => {
    const draft = drafts.get(key) ?? { order, question: null, answers: new Map() };
    draft.order = Math.min(draft.order, order);
    drafts.set(key, draft);
    return draft;
  };
  addHistory(sources.history, at);
  addLive(sources, at);
  addOutgoing(sources, at);
  return [...drafts]
    .sort(([, a], [, b]) => a.order - b.order)
    .map(([key, { question, answers }]) => ({
      key,
      question,
      answers: [...answers.values()].sort((a, b) => a.order - b.order).map(({ answer }) => answer),
    }));
}

type At = (key: string, order: number) => Draft;

function addHistory({ messages, runs }: History, at: At): void {
  const outputs = new Map(messages.filter((message) => message.role === "assistant").map((message) => [message.id, message]));
  for (const message of messages) {
    const run = message.run_id === null ? undefined : runs[message.run_id];
    if (message.role === "user") at(message.id, run?.run_number ?? 0).question = sentQuestion(message);
  }
  const shown = new Set(messages.map((message) => message.id));
  for (const run of Object.values(runs)) {
    const output = run.output_message_id === null ? undefined : outputs.get(run.output_message_id);
    if (!output && !shown.has(run.input_message_id)) continue;
    const answer = { runId: run.id, live: null, rest: run, message: output ?? null };
    at(run.input_message_id, run.run_number).answers.set(run.id, { order: run.run_number, answer });
  }
}

function addLive({ threadId, history, runs }: Sources, at: At): void {
  if (threadId === null) return;
  for (const [runId, live] of Object.entries(runs)) {
    const rest = history.runs[runId];
    const key = live.question?.id ?? rest?.input_message_id;
    if (live.thread_id !== threadId || key === undefined || isOnEarlierPage(live, rest, history)) continue;
    const draft = at(key, live.run_number);
    if (live.question) draft.question ??= sentQuestion(live.question);
    const answer = { runId, live, rest: rest ?? null, message: draft.answers.get(runId)?.answer.message ?? null };
    draft.answers.set(runId, { order: live.run_number, answer });
  }
}

/** A run that began before the oldest message shown waits for its page. */
function isOnEarlierPage(live: RunState, rest: RestRun | undefined, history: History): boolean {
  if (rest || history.previous === null || isOpen(live.status)) return false;
  return Object.values(history.runs).every((run) => run.run_number > live.run_number);
}

function addOutgoing({ conversation, threadId, outbox }: Sources, at: At): void {
  outbox.forEach((message, place) => {
    const here = message.conversation === conversation || (threadId !== null && message.threadId === threadId);
    if (!here) return;
    const { messageId: id, content, attachments = NO_FILES, refusal, acceptance } = message;
    const draft = at(id, acceptance?.run_number ?? Number.MAX_SAFE_INTEGER - outbox.length + place);
    const interrupts = message.whenBusy === "interrupt" ? { interrupts: true } : {};
    draft.question ??= { id, content, attachments, state: shownState(message), refusal, ...interrupts };
  });
}

function shownState({ state, tried }: OutgoingMessage): Question["state"] {
  if (state === "refused") return state;
  return state === "accepted" ? "sent" : tried ? "sending" : "waiting";
}

/** One list for all, so that a question without files is drawn once. */
const NO_FILES: readonly WireAttachment[] = [];

function sentQuestion({ id, content, attachments = NO_FILES }: Pick<WireMessage, "id" | "content" | "attachments">): Question {
  return { id, content, attachments, state: "sent", refusal: null };
}

export interface AnswerView {
  readonly messageId: string | null;
  readonly agent: string | null;
  readonly model: string | null;
  readonly status: RunStatus;
  readonly attempt: number;
  readonly steps: readonly Step[];
  /** Whether the steps are all there are so far. */
  readonly stepsKnown: boolean;
  /** By the tool calls that asked, or ask, for one. */
  readonly approvals: Readonly<Record<string, Approval>>;
  readonly text: string;
  readonly error: { readonly code: string; readonly message: string; readonly correlationId: string | null } | null;
  readonly cancelledBy: string | null;
  readonly usage: Usage | null;
  readonly durationMs: number | null;
}

const NONE: AnswerView["approvals"] = {};

/** The newer of both sides: an ended run is not reopened by the replay of its events. */
export function answerView({ live, rest, message }: Answer): AnswerView {
  const replaying = rest !== null && !isOpen(rest.status) && (live === null || live.last_seq === 0 || isOpen(live.status));
  if (replaying) return restView(rest, live, message);
  const status = live?.status ?? rest?.status ?? "queued";
  const error = live?.error ?? null;
  return {
    messageId: live?.message?.id ?? message?.id ?? null,
    agent: live?.agent ?? rest?.agent ?? null,
    model: live?.usage?.model ?? live?.model ?? null,
    status,
    attempt: live?.attempt ?? 1,
    steps: live?.steps ?? [],
    stepsKnown: true,
    approvals: live?.approvals ?? NONE,
    text: isOpen(status) ? (live?.text ?? "") : (live?.message?.content ?? live?.text ?? ""),
    error: error && { code: error.error_code, message: error.error_message, correlationId: error.correlation_id ?? null },
    cancelledBy: live?.cancelled_by ?? null,
    usage: live?.usage ?? null,
    durationMs: live?.duration_ms ?? rest?.duration_ms ?? null,
  };
}

function restView(rest: RestRun, live: RunState | null, message: RestMessage | null): AnswerView {
  const failed = rest.status === "failed";
  return {
    messageId: rest.output_message_id,
    agent: rest.agent,
    model: rest.usage?.model ?? live?.model ?? null,
    status: rest.status,
    attempt: 1,
    steps: live?.steps ?? [],
    stepsKnown: false,
    approvals: live?.approvals ?? NONE,
    text: message?.content ?? (rest.output_message_id === null ? "" : (live?.text ?? "")),
    error: failed ? { code: rest.error_code || "INTERNAL_ERROR", message: rest.error_message ?? "", correlationId: null } : null,
    cancelledBy: rest.cancelled_by,
    usage: rest.usage,
    durationMs: rest.duration_ms,
  };
}
