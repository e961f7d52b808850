// A thread's tree and the way through it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { EMPTY_HISTORY, type History, joined } from "../src/chat/history";
import type { RestMessage, RestRun } from "../src/chat/rest";
import { newestNode, placeOfQuestion, placeOfRun, type Sources, type Tree, treeOf, wayThrough } from "../src/chat/tree";
import { turnsOf } from "../src/chat/turns";
import { fold, INITIAL } from "../src/protocol/fold";
import type { RunEvent } from "../src/protocol/frames";
import { accepted, enqueued, type NewMessage, type Outbox, refused } from "../src/protocol/outbox";
import type { RunState } from "../src/protocol/run";
import { event } from "./frames";

const message = (id: string, parent: string | null, given: Partial<RestMessage> = {}): RestMessage => ({
  id,
  role: id.startsWith("a") ? "assistant" : "user",
  content: `text of ${id}`,
  parent_id: parent,
  created_at: "",
  run_id: `r${id.slice(1)}`,
  partial: false,
  attachments: [],
  siblings: [id],
  feedback: null,
  ...given,
});

const run = (number: number, question: string, given: Partial<RestRun> = {}): RestRun => ({
  id: `r${number}`,
  run_number: number,
  status: "completed",
  agent: "assistant",
  input_message_id: question,
  output_message_id: `a${number}`,
  last_seq: 5,
  error_code: null,
  error_message: null,
  cancelled_by: null,
  duration_ms: 10,
  usage: null,
  ...given,
});

const failed = (number: number, question: string): RestRun => run(number, question, { status: "failed", output_message_id: null, error_code: "MODEL_ERROR" });

const history = (messages: readonly RestMessage[], runs: readonly RestRun[]): History => joined(EMPTY_HISTORY, { messages, runs, previous: null });

/** Runs as the connection brings them: what they were asked, and what more came. */
function live(number: number, question: string, parent: string | null, ...more: readonly RunEvent[]): Record<string, RunState> {
  const asked = { id: question, role: "user" as const, content: `text of ${question}`, ...(parent === null ? {} : { parent_id: parent }) };
  const events = [event(1, "message_created", { message: asked }), ...more].map((each) => ({ ...each, run_id: `r${number}`, run_number: number }) as RunEvent);
  return { ...events.reduce(fold, INITIAL).runs };
}

const answered = (number: number): RunEvent =>
  event(2, "agent_completed", {
    message: { id: `a${number}`, role: "assistant", content: `text of a${number}` },
    usage: { model: "m", input_tokens: 1, output_tokens: 1, requests: 1 },
    duration_ms: 1,
  });

const sources = (given: Partial<Sources>): Sources => ({
  threadId: "thread",
  conversation: "thread",
  history: EMPTY_HISTORY,
  runs: {},
  outbox: [],
  ...given,
});

const way = (tree: Tree, tip: string | null = null): string => wayThrough(tree, tip).join(" ");
const place = ({ at, of }: { readonly at: number; readonly of: number }): string => `${at}/${of}`;

/** Two exchanges; the first question edited, with an exchange after it; the second question answered twice. */
const BRANCHED = history(
  [
    message("q1", null, { siblings: ["q1", "q4"] }),
    message("a1", "q1"),
    message("q2", "a1"),
    message("a2", "q2", { siblings: ["a2", "a3"] }),
    message("a3", "q2", { siblings: ["a2", "a3"] }),
    message("q4", null, { siblings: ["q1", "q4"] }),
    message("a4", "q4"),
    message("q5", "a4"),
    message("a5", "q5"),
  ],
  [run(1, "q1"), run(2, "q2"), run(3, "q2"), run(4, "q4"), run(5, "q5")],
);

test("the newest branch is shown by default, and any other by a question or run of it", () => {
  const tree = treeOf(sources({ history: BRANCHED }));
  assert.equal(way(tree), "q4 r4 q5 r5");
  assert.equal(way(tree, "r2"), "q1 r1 q2 r2");
  assert.equal(way(tree, "q2"), "q1 r1 q2 r3");
  assert.equal(way(tree, "q1"), "q1 r1 q2 r3");
  assert.equal(way(tree, "not known"), "q4 r4 q5 r5");
  assert.equal(newestNode(tree), "r5");
});

test("each place tells which of its versions is shown, and the ones beside it", () => {
  const tree = treeOf(sources({ history: BRANCHED }));
  assert.deepEqual(placeOfQuestion(tree, "q1"), { at: 1, of: 2, before: null, after: "q4" });
  assert.deepEqual(placeOfQuestion(tree, "q4"), { at: 2, of: 2, before: "q1", after: null });
  assert.deepEqual(placeOfRun(tree, "r3"), { at: 2, of: 2, before: "a2", after: null });
  assert.equal(place(placeOfQuestion(tree, "q5")), "1/1");
});

test("versions that only REST has named are counted, too, in its order", () => {
  const siblings = ["q0", "q1", "q4"];
  const known = history([message("q1", null, { siblings }), message("a1", "q1", { siblings: ["a1", "a9"] })], [run(1, "q1")]);
  const tree = treeOf(sources({ history: known, runs: live(7, "q7", null) }));
  assert.deepEqual(placeOfQuestion(tree, "q1"), { at: 2, of: 4, before: "q0", after: "q4" });
  assert.equal(place(placeOfQuestion(tree, "q7")), "4/4");
  assert.deepEqual(placeOfRun(tree, "r1"), { at: 1, of: 2, before: null, after: "a9" });
});

test("of two ways on the one that was written to last is gone", () => {
  const asked = { ...BRANCHED.messages, q6: message("q6", "a2"), q7: message("q7", "a3") };
  const known = { messages: asked, runs: { ...BRANCHED.runs, r6: run(6, "q6"), r7: run(7, "q7") } };
  assert.equal(way(treeOf(sources({ history: known })), "q1"), "q1 r1 q2 r3 q7 r7");
  const older = { messages: { ...asked, q7: message("q7", "a2"), q6: message("q6", "a3") }, runs: known.runs };
  assert.equal(way(treeOf(sources({ history: older })), "q1"), "q1 r1 q2 r2 q7 r7");
});

test("a question that waited follows the answer before it, whoever told of it and whenever", () => {
  const runs = { ...live(1, "q1", null, answered(1)), ...live(2, "q2", "q1") };
  assert.equal(way(treeOf(sources({ runs })), "r1"), "q1 r1 q2 r2");
  const early = history([message("q1", null)], [run(1, "q1", { status: "running", output_message_id: null })]);
  assert.equal(way(treeOf(sources({ history: early, runs })), "r1"), "q1 r1 q2 r2");
});

test("what went on from a question without an answer stays there when the question is answered later", () => {
  const known = history([message("q1", null), message("q2", "q1"), message("a2", "q2"), message("a3", "q1")], [failed(1, "q1"), run(2, "q2"), run(3, "q1")]);
  const tree = treeOf(sources({ history: known }));
  assert.equal(way(tree), "q1 r3");
  assert.equal(way(tree, "q2"), "q1 r1 q2 r2");
  assert.deepEqual(placeOfRun(tree, "r3"), { at: 2, of: 2, before: "r1", after: null });
});

test("a run that came to nothing gives way to the next one, and is no version", () => {
  const known = history([message("q1", null)], [failed(1, "q1")]);
  assert.equal(way(treeOf(sources({ history: known })), "r1"), "q1 r1");
  const tree = treeOf(sources({ history: known, runs: live(2, "q1", null) }));
  assert.equal(way(tree, "r1"), "q1 r2");
  assert.equal(place(placeOfRun(tree, "r2")), "1/1");
});

test("a run that broke off with something said is a version, and stays in view", () => {
  const known = history([message("q1", null), message("a1", "q1", { partial: true })], [run(1, "q1", { status: "failed" })]);
  const tree = treeOf(sources({ history: known, runs: live(2, "q1", null) }));
  assert.equal(way(tree, "r1"), "q1 r1");
  assert.deepEqual([place(placeOfRun(tree, "r1")), place(placeOfRun(tree, "r2"))], ["1/2", "2/2"]);
});

test("what comes to another branch is counted and not shown; what comes to the end is", () => {
  const base = history([message("q1", null), message("a1", "q1")], [run(1, "q1")]);
  const edited = treeOf(sources({ history: base, runs: live(2, "q2", null) }));
  assert.equal(way(edited, "r1"), "q1 r1");
  assert.equal(place(placeOfQuestion(edited, "q1")), "1/2");
  assert.equal(newestNode(edited), "r2");
  assert.equal(way(treeOf(sources({ history: base, runs: live(2, "q2", "a1") })), "r1"), "q1 r1 q2 r2");
});

const edit: NewMessage = { messageId: "q9", conversation: "thread", threadId: "thread", content: "better", agent: null, edits: "q1", whenBusy: "reject" };

test("an edit stands in the place of its question before the server has it, and stays there", () => {
  const base = history([message("q1", null), message("a1", "q1"), message("q2", "a1")], [run(1, "q1"), run(2, "q2", { status: "failed", output_message_id: null })]);
  let outbox: Outbox = enqueued([], edit);
  const shown = (given: Partial<Sources>): string => {
    const all = sources({ history: base, outbox, ...given });
    const tree = treeOf(all);
    return turnsOf(tree, wayThrough(tree, "q9"), all)
      .map((turn) => `${turn.question?.id} ${turn.question?.state} ${place(turn.questionPlace)} ${turn.answer?.runId ?? "-"}`)
      .join(", ");
  };
  assert.equal(shown({}), "q9 waiting 2/2 -");
  outbox = refused(outbox, "q9", { error_code: "RUN_ACTIVE", error_message: "" });
  assert.equal(shown({}), "q9 refused 2/2 -");
  outbox = accepted(outbox, { type: "message_accepted", message_id: "q9", thread_id: "thread", run_id: "r3", run_number: 3 });
  assert.equal(shown({}), "q9 sent 2/2 -");
  assert.equal(shown({ runs: live(3, "q9", null) }), "q9 sent 2/2 r3");
  assert.equal(shown({ outbox: [], runs: live(3, "q9", null) }), "q9 sent 2/2 r3");
});

test("an edit of a question that is not on the page is shown at the end until its place is", () => {
  const all = sources({ history: history([message("q2", "a1")], [failed(2, "q2")]), outbox: enqueued([], edit) });
  const tree = treeOf(all);
  assert.deepEqual(turnsOf(tree, wayThrough(tree, "r2"), all).map((turn) => turn.key), ["q2", "q9"]);
});

test("messages that name each other as what they follow do not keep the page", () => {
  const known = history([message("q1", "a2"), message("q2", "a1")], [run(1, "q1"), run(2, "q2")]);
  assert.equal(way(treeOf(sources({ history: known })), "q1").split(" ").length, 4);
});
