// The turns of a thread's newest branch.
import { type Sources, treeOf, wayThrough } from "../src/chat/tree";
import { type Turn, turnsOf } from "../src/chat/turns";

export function newestTurns(sources: Sources): Turn[] {
  const tree = treeOf(sources);
  return turnsOf(tree, wayThrough(tree, null), sources);
}
