// Messages that wait until the answer before them is done: those of the open run's conversation which have no answer
// yet. Pure; it is the server's queue, so that it is the same in each tab and after a reload.
import { type Answer, answerView, type Turn } from "./turns";

export interface Waiting {
  readonly key: string;
  readonly content: string;
  /** The run that is stopped to take it out; null while the message is on its way to the server. */
  readonly runId: string | null;
  /** Nobody has it but this page, or the server has said that it has: it can be taken out. */
  readonly settled: boolean;
}

export interface Parted {
  /** What the conversation shows. */
  readonly shown: readonly Turn[];
  readonly waiting: readonly Waiting[];
}

/** `openRuns`: of this conversation, in the server's order; the first one is at work. */
export function parted(turns: readonly Turn[], openRuns: readonly string[]): Parted {
  const [current] = openRuns;
  const at = current === undefined ? -1 : turns.findIndex((turn) => turn.answer?.runId === current);
  if (at < 0) return { shown: turns, waiting: [] };
  const waits = turns.map((turn, place) => place > at && isWaiting(turn));
  return {
    shown: turns.filter((_, place) => !waits[place]),
    waiting: turns.filter((_, place) => waits[place]).map(waitingOf),
  };
}

function isWaiting({ question, answer }: Turn): boolean {
  if (question === null || question.state === "refused" || question.interrupts) return false;
  return answer === null || isUnbegun(answer);
}

/** A run that goes on after an approval, or was handed back, is in the queue as well: it has been seen. */
function isUnbegun(answer: Answer): boolean {
  const { status, attempt, model, steps, text } = answerView(answer);
  return status === "queued" && attempt === 1 && model === null && steps.length === 0 && text === "";
}

function waitingOf({ key, question, answer }: Turn): Waiting {
  const runId = answer?.runId ?? null;
  return { key, content: question?.content ?? "", runId, settled: runId !== null || question?.state === "waiting" };
}
