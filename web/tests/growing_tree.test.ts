// While answers grow the tree is the one that would be made anew, and what stands above stays the same object.
import assert from "node:assert/strict";
import { test } from "node:test";
import { GrowingTree } from "../src/chat/growing_tree";
import { EMPTY_HISTORY } from "../src/chat/history";
import { placeOfQuestion, placeOfRun, type Sources, type Tree, treeOf, wayThrough } from "../src/chat/tree";
import { steady, type Turn, turnsOf } from "../src/chat/turns";
import { fold, INITIAL } from "../src/protocol/fold";
import type { RunEvent } from "../src/protocol/frames";
import { seeded } from "./corpus";
import { type ToldRun, toldRun } from "./told_runs";

const THREAD = "thread";

function runsOf(random: () => number): ToldRun[] {
  return [1, 2, 3, 4].map((number) => {
    const thread = number === 4 ? "elsewhere" : THREAD;
    const parent = number > 1 && number < 4 ? { parent_id: `q${number - 1}` } : {};
    return toldRun(random, { id: `r${number}`, number, thread, question: { id: `q${number}`, content: "?", ...parent } });
  });
}

/** The events of several runs, each in its order. */
function* mixed(runs: readonly ToldRun[], random: () => number): Generator<RunEvent> {
  const left = runs.map((run) => [...run.log]);
  while (left.some((log) => log.length > 0)) {
    const event = left[Math.floor(random() * left.length)]?.shift();
    if (event) yield event;
  }
}

const NOTHING: Omit<Sources, "runs"> = { threadId: THREAD, conversation: THREAD, history: EMPTY_HISTORY, outbox: [] };
const sourcesOf = (runs: Sources["runs"]): Sources => ({ ...NOTHING, runs });

const placesOf = (tree: Tree): unknown => [
  [...tree.questions.keys()].map((id) => placeOfQuestion(tree, id)),
  [...tree.runs.keys()].map((id) => placeOfRun(tree, id)),
];

test("at each moment it is the tree that would be made anew", () => {
  for (let seed = 1; seed <= 60; seed += 1) {
    const random = seeded(seed);
    const growing = new GrowingTree();
    let state = INITIAL;
    for (const event of mixed(runsOf(random), random)) {
      state = fold(state, event);
      const sources = sourcesOf(state.runs);
      const tree = growing.at(sources);
      assert.deepEqual(tree, treeOf(sources), `seed ${seed}`);
      assert.deepEqual(placesOf(tree), placesOf(treeOf(sources)), `seed ${seed}`);
    }
  }
});

test("a turn is another one only when something of it is", () => {
  const random = seeded(7);
  const growing = new GrowingTree();
  let state = INITIAL;
  let turns: readonly Turn[] = [];
  let kept = 0;
  for (const event of mixed(runsOf(random), random)) {
    state = fold(state, event);
    const sources = sourcesOf(state.runs);
    const tree = growing.at(sources);
    const fresh = turnsOf(tree, wayThrough(tree, null), sources);
    const after = steady(turns, fresh);
    assert.deepEqual(after, fresh);
    for (const turn of after) {
      const was = turns.find((each) => each.key === turn.key);
      if (was === turn) kept += 1;
      if (turn.answer?.runId === event.run_id) assert.notEqual(was, turn);
    }
    turns = after;
  }
  assert.ok(kept > 20, `${kept} turns were kept`);
});

test("what happens in another thread leaves the tree as it is", () => {
  const random = seeded(3);
  const runs = runsOf(random);
  const growing = new GrowingTree();
  let state = runs.flatMap((run) => run.log.slice(0, 2)).reduce(fold, INITIAL);
  const tree = growing.at(sourcesOf(state.runs));
  for (const event of (runs.at(-1)?.log ?? []).slice(2)) {
    const before = growing.at(sourcesOf(state.runs));
    state = fold(state, event);
    if (!event.type.startsWith("agent_c") && event.type !== "agent_error") assert.equal(growing.at(sourcesOf(state.runs)), before);
  }
  assert.deepEqual(growing.at(sourcesOf(state.runs)).runs, tree.runs);
});
