import assert from "node:assert/strict";
import { test } from "node:test";
import { EMPTY_HISTORY, type History, isContinued, joined } from "../src/chat/history";
import type { MessagesPage, RestMessage, RestRun } from "../src/chat/rest";
import { type AnswerView, answerView, type Sources, type Turn } from "../src/chat/turns";
import { fold, INITIAL } from "../src/protocol/fold";
import type { RunEvent } from "../src/protocol/frames";
import { accepted, disconnected, enqueued, type Outbox, refused, sent } from "../src/protocol/outbox";
import type { RunState } from "../src/protocol/run";
import { event } from "./frames";
import { newestTurns as turnsOf } from "./newest_turns";

const question = (number: number): RestMessage => ({
  id: `q${number}`,
  role: "user",
  content: `question ${number}`,
  parent_id: number > 1 ? `a${number - 1}` : null,
  created_at: "",
  run_id: `r${number}`,
  partial: false,
  attachments: [],
  siblings: [`q${number}`],
  feedback: null,
});

const answer = (number: number): RestMessage => ({
  ...question(number),
  id: `a${number}`,
  role: "assistant",
  content: `answer ${number}`,
  parent_id: `q${number}`,
  siblings: [`a${number}`],
});

const run = (number: number, given: Partial<RestRun> = {}): RestRun => ({
  id: `r${number}`,
  run_number: number,
  status: "completed",
  agent: "assistant",
  input_message_id: `q${number}`,
  output_message_id: `a${number}`,
  last_seq: 5,
  error_code: null,
  error_message: null,
  cancelled_by: null,
  duration_ms: 10,
  usage: null,
  ...given,
});

const openRun = (number: number): RestRun => run(number, { status: "running", output_message_id: null });

const page = (messages: readonly RestMessage[], runs: readonly RestRun[]): MessagesPage => ({ messages, runs, previous: null });

const shown = (messages: readonly RestMessage[], runs: readonly RestRun[]): History => joined(EMPTY_HISTORY, page(messages, runs));

const live = (number: number, ...more: readonly RunEvent[]): Record<string, RunState> => liveAfter(question(number).parent_id, number, ...more);

function liveAfter(parent_id: string | null, number: number, ...more: readonly RunEvent[]): Record<string, RunState> {
  const { id, role, content } = question(number);
  const first = event(1, "message_created", { message: { id, role, content, ...(parent_id === null ? {} : { parent_id }) } });
  const events = [first, ...more].map((each) => ({ ...each, run_id: `r${number}`, run_number: number }) as RunEvent);
  return { ...events.reduce(fold, INITIAL).runs };
}

const sources = (given: Partial<Sources>): Sources => ({
  threadId: "thread",
  conversation: "thread",
  history: EMPTY_HISTORY,
  runs: {},
  outbox: [],
  ...given,
});

const outline = (turns: readonly Turn[]): string[] =>
  turns.map((turn) => {
    const { answer: each } = turn;
    return `${turn.question?.id ?? "-"}${each ? ` ${each.runId}${each.live ? "+live" : ""}${each.message ? "+message" : ""}` : ""}`;
  });

test("questions come with their answers, in the order of their runs", () => {
  const history = shown([question(1), answer(1), question(2), answer(2)], [run(1), run(2)]);
  assert.deepEqual(outline(turnsOf(sources({ history }))), ["q1 r1+message", "q2 r2+message"]);
});

test("a question that waited in the queue comes after the answer before it", () => {
  // What REST showed is from before the answer, or from after it.
  const waiting = { ...question(2), parent_id: "q1" };
  for (const second of [waiting, question(2)]) {
    const early = shown([question(1), second, answer(1)], [run(1), openRun(2)]);
    assert.deepEqual(outline(turnsOf(sources({ history: early }))), ["q1 r1+message", "q2 r2"]);
  }
  const history = shown([question(1), waiting], [openRun(1), openRun(2)]);
  assert.deepEqual(outline(turnsOf(sources({ history }))), ["q1 r1", "q2 r2"]);
});

test("what REST shows and what the connection brings is one turn", () => {
  const history = shown([question(1), answer(1), question(2)], [run(1), openRun(2)]);
  const runs = { ...live(2, event(2, "agent_started", { model: "m", attempt: 1 })), ...liveAfter("q2", 3) };
  assert.deepEqual(outline(turnsOf(sources({ history, runs }))), ["q1 r1+message", "q2 r2+live", "q3 r3+live"]);
});

test("runs of other threads are not shown", () => {
  assert.deepEqual(turnsOf(sources({ threadId: "other", runs: live(1) })), []);
  assert.deepEqual(turnsOf(sources({ threadId: null, runs: live(1) })), []);
});

test("a message in the outbox is shown last, and once when its run has begun", () => {
  let outbox: Outbox = enqueued([], { messageId: "q3", conversation: "thread", threadId: "thread", content: "question 3", agent: null });
  outbox = enqueued(outbox, { messageId: "q4", conversation: "thread", threadId: "thread", content: "question 4", agent: null });
  const history = shown([question(1), answer(1)], [run(1)]);
  const turns = turnsOf(sources({ history, outbox }));
  assert.deepEqual(outline(turns), ["q1 r1+message", "q3", "q4"]);
  assert.deepEqual(turns.map((turn) => turn.question?.state), ["sent", "waiting", "waiting"]);
  const onItsWay = turnsOf(sources({ history, outbox: sent(outbox, "q3") }));
  assert.deepEqual(onItsWay.map((turn) => turn.question?.state), ["sent", "sending", "waiting"]);
  const unanswered = turnsOf(sources({ history, outbox: disconnected(sent(outbox, "q3")) }));
  assert.equal(unanswered[1]?.question?.state, "sending", "the server may have it: it cannot be taken back");
  const acceptance = { type: "message_accepted", message_id: "q3", thread_id: "thread", run_id: "r3", run_number: 3 } as const;
  outbox = refused(accepted(outbox, acceptance), "q4", { error_code: "TOO_MANY_RUNS", error_message: "" });
  const later = turnsOf(sources({ history, outbox, runs: liveAfter("a1", 3) }));
  assert.deepEqual(outline(later), ["q1 r1+message", "q3 r3+live", "q4"]);
  assert.deepEqual(later.map((turn) => turn.question?.state), ["sent", "sent", "refused"]);
});

test("an answer whose question is on an earlier page stands alone until that page is there", () => {
  const history = shown([answer(1), question(2), answer(2)], [run(1), run(2)]);
  assert.deepEqual(outline(turnsOf(sources({ history }))), ["- r1+message", "q2 r2+message"]);
  const whole = joined(history, page([question(1)], [run(1)]));
  assert.deepEqual(outline(turnsOf(sources({ history: whole }))), ["q1 r1+message", "q2 r2+message"]);
});

test("a run of an earlier page that the connection knows waits for its page", () => {
  const ended = live(1, event(2, "agent_cancelled", { by: "user" }));
  const history = shown([question(3), answer(3)], [run(3)]);
  assert.deepEqual(outline(turnsOf(sources({ history, runs: ended }))), ["q3 r3+message"]);
});

test("pages that meet are one way, and one with a gap before it begins anew", () => {
  const both = joined(shown([question(2), answer(2)], [run(2)]), page([question(1), answer(1)], [run(1)]));
  const again = page([question(2), answer(2), question(3)], [run(2), openRun(3)]);
  assert.ok(isContinued(both, again));
  assert.deepEqual(outline(turnsOf(sources({ history: joined(both, again) }))), ["q1 r1+message", "q2 r2+message", "q3 r3"]);
  const far = page([question(9)], [openRun(9)]);
  assert.ok(!isContinued(both, far));
  assert.deepEqual(outline(turnsOf(sources({ history: joined(both, far) }))), ["q9 r9"]);
});

const started = event(2, "agent_started", { model: "m", attempt: 1 });
const thinking = event(3, "agent_thinking", { step: 1, text: "hm" });
const chunk = event(4, "agent_response_chunk", { message_id: "a1", text: "ans" });
const completed = event(5, "agent_completed", {
  message: { id: "a1", role: "assistant", content: "answer 1" },
  usage: { model: "m", input_tokens: 1, output_tokens: 2, requests: 1 },
  duration_ms: 10,
});

test("the replay of an ended run does not reopen it: only its steps come in", () => {
  const rest = run(1);
  const message = answer(1);
  for (const events of [[], [started], [started, thinking], [started, thinking, chunk]]) {
    const state = live(1, ...events)["r1"] ?? null;
    const view = answerView({ runId: "r1", live: state, rest, message });
    assert.deepEqual([view.status, view.text, view.messageId], ["completed", "answer 1", "a1"]);
  }
  const view = answerView({ runId: "r1", live: live(1, started, thinking, chunk, completed)["r1"] ?? null, rest, message });
  assert.deepEqual([view.status, view.text, view.steps.length, view.stepsKnown], ["completed", "answer 1", 1, true]);
});

test("an open answer shows the text so far, an ended one the message itself", () => {
  const open = answerView({ runId: "r1", live: live(1, started, thinking, chunk)["r1"] ?? null, rest: openRun(1), message: null });
  assert.deepEqual([open.status, open.text], ["running", "ans"]);
  const done = answerView({ runId: "r1", live: live(1, started, thinking, chunk, completed)["r1"] ?? null, rest: openRun(1), message: null });
  assert.deepEqual([done.status, done.text, done.messageId], ["completed", "answer 1", "a1"]);
});

test("an answer tells who answered and with which model, from either side", () => {
  const usage = { model: "m", input_tokens: 1, output_tokens: 2, requests: 1 };
  const told = ({ agent, model }: AnswerView): unknown[] => [agent, model];
  const rest = run(1, { agent: "data", usage });
  assert.deepEqual(told(answerView({ runId: "r1", live: null, rest, message: answer(1) })), ["data", "m"]);
  assert.deepEqual(told(answerView({ runId: "r1", live: live(1)["r1"] ?? null, rest: null, message: null })), ["assistant", null]);
  const begun = live(1, { ...started, agent: "triage" } as RunEvent)["r1"] ?? null;
  assert.deepEqual(told(answerView({ runId: "r1", live: begun, rest: null, message: null })), ["triage", "m"]);
});

test("a failed run shows its error from either side, with the partial answer", () => {
  const rest = run(1, { status: "failed", error_code: "MODEL_ERROR", error_message: "529" });
  const fromRest = answerView({ runId: "r1", live: null, rest, message: { ...answer(1), partial: true } });
  assert.deepEqual(fromRest.error, { code: "MODEL_ERROR", message: "529", correlationId: null });
  const failed = event(5, "agent_error", {
    error_code: "MODEL_ERROR",
    error_message: "529",
    retryable: true,
    correlation_id: "c",
    message: { id: "a1", role: "assistant", content: "ans" },
  });
  const fromLive = answerView({ runId: "r1", live: live(1, started, thinking, chunk, failed)["r1"] ?? null, rest: null, message: null });
  assert.deepEqual([fromLive.error, fromLive.text], [{ code: "MODEL_ERROR", message: "529", correlationId: "c" }, "ans"]);
});
