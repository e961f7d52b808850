// The tree of a thread from one moment to the next. While an answer grows, its run alone is another one, and the tree
// before is kept with that run in it: what is above costs nothing then, however much it is. Pure.
import { isOpen } from "../protocol/frames";
import type { RunState } from "../protocol/run";
import { type Sources, type Tree, treeOf } from "./tree";

export class GrowingTree {
  #sources: Sources | null = null;
  #tree: Tree | null = null;

  /** The same as `treeOf`; the same object as before when nothing of this thread has changed. */
  at(sources: Sources): Tree {
    this.#tree = this.#grown(sources) ?? treeOf(sources);
    this.#sources = sources;
    return this.#tree;
  }

  #grown(sources: Sources): Tree | null {
    const before = this.#sources;
    const tree = this.#tree;
    if (!before || !tree || before.history !== sources.history || before.outbox !== sources.outbox) return null;
    if (before.threadId !== sources.threadId || before.conversation !== sources.conversation) return null;
    const ids = Object.keys(sources.runs);
    if (ids.length !== Object.keys(before.runs).length) return null;
    const changed: [string, RunState][] = [];
    for (const id of ids) {
      const was = before.runs[id];
      const live = sources.runs[id];
      if (live === was || live === undefined) continue;
      if (was === undefined || !standsAsBefore(was, live)) return null;
      changed.push([id, live]);
    }
    return withRuns(tree, changed);
  }
}

/** Nothing that `treeOf` places questions and runs by is another one. */
function standsAsBefore(was: RunState, live: RunState): boolean {
  return (
    was.thread_id === live.thread_id &&
    was.run_number === live.run_number &&
    was.question === live.question &&
    was.message === live.message &&
    isOpen(was.status) === isOpen(live.status)
  );
}

function withRuns(tree: Tree, changed: readonly (readonly [string, RunState])[]): Tree {
  const here = changed.filter(([id]) => tree.runs.has(id));
  if (here.length === 0) return tree;
  const runs = new Map(tree.runs);
  for (const [id, live] of here) {
    const node = tree.runs.get(id);
    if (node) runs.set(id, { ...node, answer: { ...node.answer, live } });
  }
  return { ...tree, runs };
}
