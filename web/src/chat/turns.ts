// A thread as the person reads it: each question with the answer to it on the way that is shown, from what REST showed,
// what the connection brought, and what is still in the outbox. Pure.
import type { RunStatus, Usage } from "../protocol/frames";
import { isOpen } from "../protocol/frames";
import type { Approval, RunState, Step } from "../protocol/run";
import type { RestMessage, RestRun } from "./rest";
import { ALONE, type Answer, outgoingQuestion, type Place, placeOfQuestion, placeOfRun, type Question, type Sources, type Tree } from "./tree";

export type { Answer, Question, Sources } from "./tree";

export interface Turn {
  readonly key: string;
  readonly question: Question | null;
  readonly answer: Answer | null;
  /** Where it stands among edits of the question, and among answers to it. */
  readonly questionPlace: Place;
  readonly answerPlace: Place;
}

export function turnsOf(tree: Tree, way: readonly string[], sources: Sources): Turn[] {
  const turns: Turn[] = [];
  for (const id of way) {
    const node = tree.questions.get(id);
    const run = tree.runs.get(id);
    const last = turns.at(-1);
    if (node) {
      turns.push({ key: id, question: node.question, answer: null, questionPlace: placeOfQuestion(tree, id), answerPlace: ALONE });
    } else if (run) {
      const answered = { answer: run.answer, answerPlace: placeOfRun(tree, id) };
      if (last && last.key === run.questionId) turns[turns.length - 1] = { ...last, ...answered };
      else turns.push({ key: run.questionId, question: null, questionPlace: ALONE, ...answered });
    }
  }
  return [...turns, ...outgoing(tree, sources)];
}

/** The turns, with those of before that are the same ones: nothing of them is drawn again. */
export function steady(before: readonly Turn[], turns: readonly Turn[]): readonly Turn[] {
  const known = new Map(before.map((turn) => [turn.key, turn]));
  return turns.map((turn) => {
    const was = known.get(turn.key);
    return was && isSame(was, turn) ? was : turn;
  });
}

function isSame(a: Turn, b: Turn): boolean {
  return a.question === b.question && a.questionPlace === b.questionPlace && a.answerPlace === b.answerPlace && isSameAnswer(a.answer, b.answer);
}

function isSameAnswer(a: Answer | null, b: Answer | null): boolean {
  return a === b || (a !== null && b !== null && a.runId === b.runId && a.live === b.live && a.rest === b.rest && a.message === b.message);
}

/** Messages on their way to the end of what is shown. */
function outgoing({ questions }: Tree, { conversation, threadId, outbox }: Sources): Turn[] {
  return outbox
    .filter((message) => message.conversation === conversation || (threadId !== null && message.threadId === threadId))
    .filter((message) => !questions.has(message.messageId))
    .map((message) => ({
      key: message.messageId,
      question: outgoingQuestion(message),
      answer: null,
      questionPlace: ALONE,
      answerPlace: ALONE,
    }));
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
