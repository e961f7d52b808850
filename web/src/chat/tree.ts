// A thread as the tree that it is: a question follows a run, whose answer it goes on from, and a run answers a question.
// What REST showed, what the connection brought and edits in the outbox are its nodes; one way through it is shown. Pure.
import { isOpen, type WireAttachment } from "../protocol/frames";
import type { OutgoingMessage, Refusal } from "../protocol/outbox";
import type { RunState } from "../protocol/run";
import type { History } from "./history";
import type { RestMessage, RestRun } from "./rest";

export interface Question {
  readonly id: string;
  readonly content: string;
  /** `waiting`: it has never left this page, and can be taken back. */
  readonly state: "waiting" | "sending" | "sent" | "refused";
  readonly refusal: Refusal | null;
  readonly attachments: readonly WireAttachment[];
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

export interface QuestionNode {
  readonly question: Question;
  /** The number of the run that it began. */
  readonly number: number;
  /** The message that it follows; null at the thread's beginning, undefined when nobody has told. */
  readonly parentId: string | null | undefined;
  /** REST has shown it. */
  readonly isRead: boolean;
  readonly siblings: readonly string[];
}

export interface RunNode {
  readonly answer: Answer;
  readonly number: number;
  readonly questionId: string;
}

export interface Sources {
  readonly threadId: string | null;
  readonly conversation: string;
  readonly history: History;
  readonly runs: Readonly<Record<string, RunState>>;
  readonly outbox: readonly OutgoingMessage[];
}

export interface Tree {
  readonly questions: ReadonlyMap<string, QuestionNode>;
  readonly runs: ReadonlyMap<string, RunNode>;
  /** The runs of a question, by number. */
  readonly runsOf: ReadonlyMap<string, readonly string[]>;
  /** The run that a question follows, if it is known. */
  readonly follows: ReadonlyMap<string, string>;
  /** The questions that follow a run, by number. */
  readonly following: ReadonlyMap<string, readonly string[]>;
  /** The questions of each place. */
  readonly places: ReadonlyMap<string, readonly string[]>;
}

const NO_FILES: readonly WireAttachment[] = [];

export function treeOf(sources: Sources): Tree {
  const runs = new Map<string, RunNode>();
  const questions = new Map<string, QuestionNode>();
  addHistory(sources.history, questions, runs);
  addLive(sources, questions, runs);
  addEdits(sources, questions);
  const runsOf = grouped([...runs], ([, run]) => run.questionId, ([, run]) => run.number);
  const byAnswer = new Map<string, string>();
  for (const [id, { answer }] of runs) {
    const message = outputId(answer);
    if (message !== null) byAnswer.set(message, id);
  }
  const follows = new Map<string, string>();
  for (const [id, node] of questions) {
    const run = followedRun(node, { questions, runs, runsOf, byAnswer });
    if (run !== undefined) follows.set(id, run);
  }
  const numberOf = (id: string): number => questions.get(id)?.number ?? 0;
  const following = grouped([...follows], ([, run]) => run, ([question]) => numberOf(question));
  const places = grouped([...questions], ([id, node]) => placeName(follows, id, node), ([, node]) => node.number);
  return { questions, runs, runsOf, follows, following, places };
}

/** The name of the answer's message, once there is one. */
export function outputId({ live, rest }: Answer): string | null {
  return rest?.output_message_id ?? live?.message?.id ?? null;
}

function addHistory({ messages, runs }: History, questions: Map<string, QuestionNode>, nodes: Map<string, RunNode>): void {
  for (const message of Object.values(messages)) {
    if (message.role !== "user") continue;
    const { id, content, attachments, parent_id: parentId, siblings } = message;
    const number = (message.run_id === null ? undefined : runs[message.run_id])?.run_number ?? 0;
    questions.set(id, { question: sentQuestion(id, content, attachments), number, parentId, isRead: true, siblings });
  }
  for (const run of Object.values(runs)) {
    const message = run.output_message_id === null ? null : (messages[run.output_message_id] ?? null);
    const answer = { runId: run.id, live: null, rest: run, message };
    nodes.set(run.id, { answer, number: run.run_number, questionId: run.input_message_id });
  }
}

function addLive({ threadId, runs, history }: Sources, questions: Map<string, QuestionNode>, nodes: Map<string, RunNode>): void {
  if (threadId === null) return;
  for (const [runId, live] of Object.entries(runs)) {
    const known = nodes.get(runId);
    const questionId = live.question?.id ?? known?.questionId;
    if (live.thread_id !== threadId || questionId === undefined) continue;
    const message = live.message ? (history.messages[live.message.id] ?? null) : null;
    const answer = { runId, live, rest: known?.answer.rest ?? null, message: known?.answer.message ?? message };
    nodes.set(runId, { answer, number: live.run_number, questionId });
    const { question } = live;
    const before = questions.get(questionId);
    if (question && (!before || before.number > live.run_number)) {
      questions.set(questionId, {
        question: before?.question ?? sentQuestion(question.id, question.content, question.attachments ?? NO_FILES),
        number: live.run_number,
        parentId: before ? before.parentId : (question.parent_id ?? null),
        isRead: before?.isRead ?? false,
        siblings: before?.siblings ?? [],
      });
    }
  }
}

/** An edit stands beside what it edits from the moment that it is made; what follows the end is shown after it (turns.ts). */
function addEdits({ outbox, threadId }: Sources, questions: Map<string, QuestionNode>): void {
  outbox.forEach((message, place) => {
    const edited = message.edits ? questions.get(message.edits) : undefined;
    if (!edited || threadId === null || message.threadId !== threadId || questions.has(message.messageId)) return;
    questions.set(message.messageId, {
      question: outgoingQuestion(message),
      number: message.acceptance?.run_number ?? Number.MAX_SAFE_INTEGER - outbox.length + place,
      parentId: edited.parentId,
      isRead: edited.isRead,
      siblings: [],
    });
  });
}

function sentQuestion(id: string, content: string, attachments: readonly WireAttachment[]): Question {
  return { id, content, state: "sent", refusal: null, attachments };
}

export function outgoingQuestion(message: OutgoingMessage): Question {
  const { messageId: id, content, refusal, attachments = NO_FILES } = message;
  const interrupts = message.whenBusy === "interrupt" ? { interrupts: true } : {};
  return { id, content, state: shownState(message), refusal, attachments, ...interrupts };
}

function shownState({ state, tried }: OutgoingMessage): Question["state"] {
  if (state === "refused") return state;
  return state === "accepted" ? "sent" : tried ? "sending" : "waiting";
}

interface Known {
  readonly questions: ReadonlyMap<string, QuestionNode>;
  readonly runs: ReadonlyMap<string, RunNode>;
  readonly runsOf: ReadonlyMap<string, readonly string[]>;
  readonly byAnswer: ReadonlyMap<string, string>;
}

/**
 * A question that was asked while the answer before it was being made follows the question, until the answer is there,
 * and whoever heard of it before is not told. A question that follows another for good follows its run without an answer.
 */
function followedRun({ parentId, number, isRead }: QuestionNode, { questions, runs, runsOf, byAnswer }: Known): string | undefined {
  if (parentId === null || parentId === undefined) return undefined;
  if (!questions.has(parentId)) return byAnswer.get(parentId) ?? (isRead ? undefined : unansweredBefore(runs, number));
  const before = (runsOf.get(parentId) ?? []).filter((id) => (runs.get(id)?.number ?? 0) < number);
  const unanswered = isRead ? before.findLast((id) => !runs.get(id)?.answer.rest?.output_message_id) : undefined;
  return unanswered ?? before.at(-1);
}

/** What follows an answer that nobody has told of here can be heard of before that answer: it is that of a run still open here. */
function unansweredBefore(runs: ReadonlyMap<string, RunNode>, number: number): string | undefined {
  let latest: RunNode | undefined;
  for (const node of runs.values()) {
    if (node.number < number && isOpenHere(node) && node.number > (latest?.number ?? 0)) latest = node;
  }
  return latest?.answer.runId;
}

function isOpenHere({ answer: { live, rest } }: RunNode): boolean {
  return !(rest && !isOpen(rest.status)) && isOpen(live?.status ?? rest?.status ?? "queued");
}

function grouped<Item extends readonly [string, unknown]>(
  items: readonly Item[],
  group: (item: Item) => string,
  order: (item: Item) => number,
): ReadonlyMap<string, readonly string[]> {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    const key = group(item);
    const members = groups.get(key);
    if (members) members.push(item);
    else groups.set(key, [item]);
  }
  return new Map([...groups].map(([key, members]) => [key, members.sort((a, b) => order(a) - order(b)).map(([id]) => id)]));
}

export function isKnown(tree: Tree, node: string): boolean {
  return tree.questions.has(node) || tree.runs.has(node);
}

/** The run of this id, or that made the answer of this id. */
export function runNamed(tree: Tree, id: string): RunNode | undefined {
  return tree.runs.get(id) ?? [...tree.runs.values()].find(({ answer }) => outputId(answer) === id);
}

/** Where the person was last written to, in any branch; null of an empty thread. */
export function newestNode(tree: Tree): string | null {
  let newest: { readonly id: string; readonly number: number } | null = null;
  for (const nodes of [tree.questions, tree.runs]) {
    for (const [id, { number }] of nodes) if (number >= (newest?.number ?? 0)) newest = { id, number };
  }
  return newest?.id ?? null;
}

/** Questions and runs in turn: the way from the beginning, as far as it is known, to `tip`, and on from there to the newest end. */
export function wayThrough(tree: Tree, tip: string | null): readonly string[] {
  const node = tip !== null && isKnown(tree, tip) ? settled(tree, tip) : newestNode(tree);
  if (node === null) return [];
  const way = [node];
  const seen = new Set(way);
  for (let before = nodeBefore(tree, node); before !== null && !seen.has(before); before = nodeBefore(tree, before)) {
    seen.add(before);
    way.push(before);
  }
  way.reverse();
  for (let next = newestAfter(tree, node); next !== null && !seen.has(next); next = newestAfter(tree, next)) {
    seen.add(next);
    way.push(next);
  }
  return way;
}

/** A run that came to nothing gives way to the one that was begun in its place. */
function settled(tree: Tree, node: string): string {
  const run = tree.runs.get(node);
  if (!run || isWorthShowing(tree, node)) return node;
  return tree.runsOf.get(run.questionId)?.at(-1) ?? node;
}

function nodeBefore(tree: Tree, node: string): string | null {
  const run = tree.runs.get(node);
  if (run) return tree.questions.has(run.questionId) ? run.questionId : null;
  return tree.follows.get(node) ?? null;
}

function nodesAfter(tree: Tree, node: string): readonly string[] {
  return (tree.questions.has(node) ? tree.runsOf.get(node) : tree.following.get(node)) ?? [];
}

function newestAfter(tree: Tree, node: string): string | null {
  const after = nodesAfter(tree, node);
  if (after.length < 2) return after[0] ?? null;
  return after.map((id) => ({ id, reach: reach(tree, id) })).reduce((a, b) => (b.reach >= a.reach ? b : a)).id;
}

/** The number of the newest run or question from here on. */
function reach(tree: Tree, from: string): number {
  let highest = 0;
  const open = [from];
  const seen = new Set(open);
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    highest = Math.max(highest, tree.questions.get(node)?.number ?? tree.runs.get(node)?.number ?? 0);
    for (const next of nodesAfter(tree, node)) {
      if (!seen.has(next)) open.push(next);
      seen.add(next);
    }
  }
  return highest;
}

/** Runs that have ended without a word, and from which nothing went on, are not among the answers to choose from. */
function isWorthShowing(tree: Tree, runId: string): boolean {
  const run = tree.runs.get(runId);
  if (!run) return false;
  const latest = tree.runsOf.get(run.questionId)?.at(-1) === runId;
  return latest || isOpenHere(run) || outputId(run.answer) !== null || tree.following.has(runId);
}

/** What stands in one place, and which of it is shown; `before` and `after` are names for `Conversation.choose`. */
export interface Place {
  readonly at: number;
  readonly of: number;
  readonly before: string | null;
  readonly after: string | null;
}

export const ALONE: Place = { at: 1, of: 1, before: null, after: null };

/** Places are those of a tree's shape, which stays while answers grow (growing_tree.ts). */
const PLACES = new WeakMap<Tree["places"], Map<string, Place>>();

function remembered({ places }: Tree, id: string, find: () => Place): Place {
  const found = PLACES.get(places) ?? new Map<string, Place>();
  PLACES.set(places, found);
  const place = found.get(id) ?? find();
  found.set(id, place);
  return place;
}

export function placeOfQuestion(tree: Tree, id: string): Place {
  return remembered(tree, id, () => findPlaceOfQuestion(tree, id));
}

function findPlaceOfQuestion(tree: Tree, id: string): Place {
  const node = tree.questions.get(id);
  if (!node) return ALONE;
  const beside = tree.places.get(placeName(tree.follows, id, node)) ?? [id];
  const named = longest(beside.map((each) => tree.questions.get(each)?.siblings ?? []));
  return placeAmong(inOrder(named, new Map(beside.map((each) => [each, tree.questions.get(each)?.number ?? 0]))), id);
}

function placeName(follows: Tree["follows"], id: string, { parentId }: QuestionNode): string {
  return follows.get(id) ?? parentId ?? "";
}

export function placeOfRun(tree: Tree, runId: string): Place {
  return remembered(tree, runId, () => findPlaceOfRun(tree, runId));
}

function findPlaceOfRun(tree: Tree, runId: string): Place {
  const run = tree.runs.get(runId);
  if (!run) return ALONE;
  const beside = (tree.runsOf.get(run.questionId) ?? []).filter((id) => id === runId || isWorthShowing(tree, id));
  const name = (id: string): string => {
    const answer = tree.runs.get(id)?.answer;
    return (answer && outputId(answer)) ?? id;
  };
  const numbers = new Map(beside.map((id) => [name(id), tree.runs.get(id)?.number ?? 0]));
  const named = longest(beside.map((id) => tree.runs.get(id)?.answer.message?.siblings ?? []));
  return placeAmong(inOrder(named, numbers), name(runId));
}

function longest(lists: readonly (readonly string[])[]): readonly string[] {
  return lists.reduce((a, b) => (b.length > a.length ? b : a), []);
}

/** Names that REST gave in their order, joined with what is known here by number. */
function inOrder(named: readonly string[], numbers: ReadonlyMap<string, number>): string[] {
  let number = 0;
  const places = named.map((id) => ({ id, number: (number = numbers.get(id) ?? number) }));
  const more = [...numbers].filter(([id]) => !named.includes(id)).map(([id, at]) => ({ id, number: at }));
  return [...places, ...more].sort((a, b) => a.number - b.number).map(({ id }) => id);
}

function placeAmong(ids: readonly string[], id: string): Place {
  const at = ids.indexOf(id);
  return { at: at + 1, of: ids.length, before: ids[at - 1] ?? null, after: ids[at + 1] ?? null };
}
