// Which way through a thread's tree is shown. It stays the one that the person looks at: what is added to its end is
// shown, what somebody adds beside it is counted.
import { computed, effect, type ReadonlySignal, signal } from "@preact/signals";
import { isKnown, newestNode, outputId, runNamed, type Tree, wayThrough } from "./tree";

/** The node to show once it is there. */
type Wish = (tree: Tree) => string | null;

export class Branch {
  readonly way: ReadonlySignal<readonly string[]>;
  /** Another branch was written to after this one. */
  readonly isOlder: ReadonlySignal<boolean>;
  /** The message to read on from: before the first one shown, or of an answer in between that no page had yet. */
  readonly earlier: ReadonlySignal<string | null>;
  readonly close: () => void;

  #tree: ReadonlySignal<Tree>;
  #tip = signal<string | null>(null);
  #wish: Wish | null = null;

  constructor(tree: ReadonlySignal<Tree>) {
    this.#tree = tree;
    this.way = computed(() => wayThrough(tree.value, this.#tip.value));
    this.isOlder = computed(() => {
      const newest = newestNode(tree.value);
      return newest !== null && !this.way.value.includes(newest);
    });
    this.earlier = computed(() => {
      const [first] = this.way.value;
      if (first === undefined) return null;
      const unread = this.way.value.findLast((id) => isUnread(tree.value, id));
      if (unread !== undefined) return this.messageOf(unread);
      const question = tree.value.questions.get(first);
      return (question ? question.parentId : tree.value.runs.get(first)?.questionId) ?? null;
    });
    this.close = effect(() => this.#follow(tree.value, this.way.value));
  }

  /** A question, a run, or the message of an answer. False when nothing is known of it. */
  show(id: string): boolean {
    const tree = this.#tree.value;
    const node = tree.questions.has(id) ? id : runNamed(tree, id)?.answer.runId;
    this.#wish = null;
    if (node === undefined) return false;
    this.#tip.value = node;
    return true;
  }

  /** Show what the person has asked for as soon as the server tells of it. */
  await(wish: Wish): void {
    this.#wish = wish;
  }

  forgetWish(): void {
    this.#wish = null;
  }

  /** The message that the next one is to follow. */
  get end(): string | null {
    const tree = this.#tree.value;
    const last = this.way.value.at(-1);
    const run = last === undefined ? undefined : tree.runs.get(last);
    return run ? (outputId(run.answer) ?? run.questionId) : (last ?? null);
  }

  /** The message by which the server knows a branch with this; null when only this page does. */
  messageOf(id: string): string | null {
    const run = runNamed(this.#tree.value, id);
    return run ? outputId(run.answer) : id;
  }

  /** Whether there is something to draw of it. */
  isRead(id: string): boolean {
    const tree = this.#tree.value;
    const answer = runNamed(tree, id)?.answer;
    return answer ? answer.message !== null || outputId(answer) === null || (answer.live?.last_seq ?? 0) > 0 : tree.questions.has(id);
  }

  runsOf(questionId: string): readonly string[] {
    return this.#tree.value.runsOf.get(questionId) ?? [];
  }

  #follow(tree: Tree, way: readonly string[]): void {
    const wished = this.#wish?.(tree) ?? null;
    const end = wished ?? way.at(-1);
    if (wished !== null) this.#wish = null;
    if (end !== undefined && isKnown(tree, end) && end !== this.#tip.peek()) this.#tip.value = end;
  }
}

function isUnread(tree: Tree, id: string): boolean {
  const answer = tree.runs.get(id)?.answer;
  return answer !== undefined && outputId(answer) !== null && answer.message === null && !answer.live?.message;
}
