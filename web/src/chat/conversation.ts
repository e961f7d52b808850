// The open thread: what REST has shown of it, joined with what the connection brings.
import { batch, computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { threadShown } from "../protocol/fold";
import { isOpen } from "../protocol/frames";
import { RestError } from "../session/rest";
import { Branch } from "./branch";
import type { ChosenBranches } from "./chosen_branches";
import type { Delivery, RestRunName } from "./delivery";
import type { Draft } from "./drafts";
import { EMPTY_HISTORY, type History, isContinued, joined } from "./history";
import { GrowingTree } from "./growing_tree";
import { type Parted, parted } from "./queue";
import { type BranchWanted, type Fetch, loadMessages, loadThread, type MessagesPage, type RestRun } from "./rest";
import { isPassing, untilLoaded } from "./retrying";
import type { Sources } from "./tree";
import { steady, type Turn, turnsOf } from "./turns";

const STEPS_SHOWN_AT_ONCE = 10;
const BETWEEN_READINGS_MS = 1000;

/** Names a conversation until the server has made its thread. */
export const NEW_CONVERSATION = "new:";

export interface ConversationParts {
  readonly fetch: Fetch;
  readonly delivery: Delivery;
  readonly branches: ChosenBranches;
  readonly draft: Draft;
  readonly agent: string | null;
}

export class Conversation {
  /** A thread's id, or a name of the page's own that stays after the thread was made. */
  readonly key: string;
  readonly threadId: ReadonlySignal<string | null>;
  readonly history = signal<History>(EMPTY_HISTORY);
  readonly loaded = signal(false);
  readonly failure = signal<RestError | null>(null);
  /** What is in the composer. */
  readonly draft: Draft;
  /** The agent that the person chose for this conversation. */
  readonly chosenAgent: Signal<string | null>;
  /** The agent that was asked last. */
  readonly latestAgent: ReadonlySignal<string | null>;
  /** Of a thread that the list does not show. */
  readonly title = signal<string | null>(null);
  readonly branch: Branch;
  /** The other branch that the person wants to see, and that is being read. */
  readonly turning = signal<string | null>(null);
  /** Set when the person turns to another branch, which leaves the view where it is, or writes, and looks at the end. */
  readonly attention = signal<{ readonly atEnd: boolean } | null>(null);
  readonly turns: ReadonlySignal<readonly Turn[]>;
  readonly openRunIds: ReadonlySignal<readonly string[]>;
  /** The turns that are shown, and what waits behind the answer that is being written. */
  readonly parted: ReadonlySignal<Parted>;

  #threadId = signal<string | null>(null);
  #fetch: Fetch;
  #delivery: Delivery;
  #branches: ChosenBranches;
  #choices = 0;
  #loading: Promise<void> | null = null;
  #readAgain = false;
  #extending = false;
  #live = true;

  constructor(key: string, { fetch, delivery, branches, draft, agent }: ConversationParts) {
    this.key = key;
    this.draft = draft;
    this.chosenAgent = signal(agent);
    this.#fetch = fetch;
    this.#delivery = delivery;
    this.#branches = branches;
    this.threadId = this.#threadId;
    if (key.startsWith(NEW_CONVERSATION)) this.loaded.value = true;
    else this.#threadId.value = key;
    const sources = computed<Sources>(() => ({
      threadId: this.#threadId.value,
      conversation: this.key,
      history: this.history.value,
      runs: { ...delivery.lostRuns.value, ...delivery.state.value.runs },
      outbox: delivery.outbox.value,
    }));
    const growing = new GrowingTree();
    const tree = computed(() => growing.at(sources.value));
    this.branch = new Branch(tree);
    let before: readonly Turn[] = [];
    this.turns = computed(() => (before = steady(before, turnsOf(tree.value, this.branch.way.value, sources.value))));
    this.latestAgent = computed(() => {
      const answer = this.turns.value.at(-1)?.answer;
      return answer?.live?.agent ?? answer?.rest?.agent ?? null;
    });
    this.openRunIds = computed(() =>
      Object.entries(delivery.state.value.runs)
        .filter(([, run]) => run.thread_id === this.#threadId.value && this.#threadId.value !== null && isOpen(run.status))
        .filter(([id]) => !isEndedAtRest(this.history.value.runs[id]))
        .sort(([, a], [, b]) => a.run_number - b.run_number)
        .map(([id]) => id),
    );
    this.parted = computed(() => parted(this.turns.value, this.openRunIds.value));
  }

  /** The server has made the thread of a new conversation. */
  begun(threadId: string): void {
    this.#threadId.value ??= threadId;
  }

  close(): void {
    this.#live = false;
    this.branch.close();
  }

  /** The list shows the latest threads only: the title of an older one is asked for. */
  async loadTitle(): Promise<void> {
    const id = this.#threadId.value;
    if (id === null || this.title.value !== null) return;
    const thread = await untilLoaded(() => loadThread(this.#fetch, id), () => this.#live && this.title.value === null);
    if (thread) this.title.value ??= thread.title;
  }

  /** Read its title again; rejects with THREAD_NOT_FOUND when it is gone. For what no notice has told. */
  async look(): Promise<void> {
    const id = this.#threadId.value;
    if (id === null) return;
    const thread = await untilLoaded(() => loadThread(this.#fetch, id), () => this.#live);
    if (thread) this.title.value = thread.title;
  }

  /** Read the end of what is shown, again or for the first time. Wishes during a reading are met by one further reading. */
  load(): Promise<void> {
    this.#readAgain = this.#loading !== null;
    this.#loading ??= this.#readWhileWanted().finally(() => {
      this.#loading = null;
    });
    return this.#loading;
  }

  async #readWhileWanted(): Promise<void> {
    await this.#read();
    while (this.#readAgain) {
      this.#readAgain = false;
      await this.#read();
      await new Promise((resolve) => setTimeout(resolve, BETWEEN_READINGS_MS));
    }
  }

  async #read(): Promise<void> {
    const id = this.#threadId.value;
    if (id === null || !this.#live) return;
    const wasDeleted = id in this.#delivery.current.deletedThreads;
    const choice = this.#choices;
    try {
      const pages = await this.#pages(id, this.#wantedBranch(id));
      const shown = pages?.at(-1);
      if (!pages || !shown || !this.#live) return;
      if (wasDeleted) this.#delivery.update((state) => threadShown(state, id));
      const turns = !this.loaded.value || (pages.length === 1 && !isContinued(this.history.value, shown));
      batch(() => {
        this.#join(pages);
        const end = this.#pendingEdit(id) ?? shown.messages.at(-1)?.id;
        if (turns && choice === this.#choices && end !== undefined) this.branch.show(end);
        this.failure.value = null;
        this.loaded.value = true;
        const oldestRun = shown.previous === null ? 0 : Math.min(...shown.runs.map((run) => run.run_number));
        this.#delivery.threadRead(id, new Set(pages.flatMap((page) => page.messages.map((message) => message.id))), oldestRun);
      });
      pages.forEach((page) => this.#followRunsOf(page));
    } catch (error) {
      this.failure.value = error as RestError;
    }
  }

  /** The branch that is shown, or was before a reload, when it is not the newest. */
  #wantedBranch(threadId: string): string | null {
    if (!this.loaded.value) return this.#branches.read(threadId);
    return this.branch.isOlder.value ? this.branch.end : null;
  }

  #pendingEdit(threadId: string): string | undefined {
    return this.#delivery.outbox.value.findLast((message) => message.edits && message.threadId === threadId)?.messageId;
  }

  /** What is to be shown is the last page. Of the newest branch, if that is another one, only its end is read. */
  async #pages(threadId: string, through: string | null): Promise<readonly MessagesPage[] | null> {
    const read = (wanted: BranchWanted): Promise<MessagesPage | null> =>
      untilLoaded(() => loadMessages(this.#fetch, threadId, wanted), () => this.#live);
    if (through !== null) {
      try {
        const [newest, shown] = await Promise.all([read({ limit: 1 }), read({ through })]);
        return newest && shown && [newest, shown];
      } catch (error) {
        if (!(error instanceof RestError) || error.code !== "MESSAGE_NOT_FOUND") throw error;
        this.#branches.write(threadId, null);
      }
    }
    const newest = await read({});
    return newest && [newest];
  }

  /**
   * An answer of an earlier page that was open when that was read, and of which the connection cannot tell any more, may
   * have ended since: earlier pages are then read again when they are wanted.
   */
  #join(pages: readonly MessagesPage[]): void {
    const history = pages.reduce(joined, this.history.value);
    const told = new Set(pages.flatMap((page) => page.runs.map((run) => run.id)));
    const live = this.#delivery.current.runs;
    const isOutdated = Object.values(history.runs).some((run) => isOpen(run.status) && !told.has(run.id) && !(run.id in live));
    this.history.value = isOutdated ? pages.reduce(joined, EMPTY_HISTORY) : history;
  }

  /** The page of messages before the oldest one shown. */
  async loadOlder(): Promise<void> {
    const leaf = this.branch.earlier.value;
    const id = this.#threadId.value;
    if (leaf === null || id === null || this.#extending) return;
    this.#extending = true;
    try {
      const page = await untilLoaded(() => loadMessages(this.#fetch, id, { leaf }), () => this.#live);
      if (page && this.#live) this.history.value = joined(this.history.value, page);
    } catch (error) {
      if (!isPassing(error)) this.failure.value = error as RestError;
    } finally {
      this.#extending = false;
    }
  }

  /** Show the branch with this message or run: at once as far as it is known, and then all of it. Rejects with RestError. */
  async choose(id: string): Promise<void> {
    const threadId = this.#threadId.value;
    const message = this.branch.messageOf(id);
    const choice = (this.#choices += 1);
    this.attention.value = { atEnd: false };
    if (this.branch.isRead(id)) this.branch.show(id);
    if (threadId === null || message === null || this.#isOutgoing(message)) return;
    this.turning.value = id;
    this.#branches.write(threadId, message);
    try {
      const pages = await this.#pages(threadId, message);
      if (!pages || !this.#live) return;
      this.#join(pages);
      pages.forEach((page) => this.#followRunsOf(page));
      const end = pages.at(-1)?.messages.at(-1)?.id;
      if (choice !== this.#choices || end === undefined) return;
      this.branch.show(end);
      this.#branches.write(threadId, this.branch.isOlder.value ? message : null);
    } finally {
      if (choice === this.#choices) this.turning.value = null;
    }
  }

  /** Show the branch that was written to last. Rejects with RestError. */
  async chooseNewest(): Promise<void> {
    const threadId = this.#threadId.value;
    if (threadId === null) return;
    const choice = (this.#choices += 1);
    this.#branches.write(threadId, null);
    const pages = await this.#pages(threadId, null);
    if (!pages || !this.#live) return;
    this.#join(pages);
    pages.forEach((page) => this.#followRunsOf(page));
    const end = pages.at(-1)?.messages.at(-1)?.id;
    if (choice !== this.#choices || end === undefined) return;
    this.branch.show(end);
    this.attention.value = { atEnd: true };
  }

  /** Somebody may have gone on elsewhere meanwhile: the person sees where the message came to stand. */
  accepted(messageId: string): void {
    this.branch.await((tree) => (tree.questions.has(messageId) ? messageId : null));
  }

  /** The person writes here: what comes of it is the newest branch. */
  written(): void {
    this.#choices += 1;
    this.turning.value = null;
    this.attention.value = { atEnd: true };
    if (this.#threadId.value !== null) this.#branches.write(this.#threadId.value, null);
  }

  /** What the next message is to follow; null for the end of the newest branch, wherever the server has that. */
  get nextParent(): string | null {
    if (!this.branch.isOlder.value) return null;
    const waiting = this.#delivery.outbox.value.findLast((message) => message.parentId && message.threadId === this.#threadId.value);
    return waiting?.messageId ?? this.branch.end;
  }

  #isOutgoing(messageId: string): boolean {
    return this.#delivery.outbox.value.some((message) => message.messageId === messageId);
  }

  /** The steps of an ended run: its events are asked for. */
  showSteps(runId: string): void {
    const run = this.history.value.runs[runId];
    const threadId = this.#threadId.value;
    if (run && threadId !== null) this.#delivery.follow([named(run, threadId)]);
  }

  #followRunsOf(page: MessagesPage): void {
    const threadId = this.#threadId.value;
    if (threadId === null) return;
    const open = page.runs.filter((run) => isOpen(run.status));
    const ended = page.runs.filter((run) => !isOpen(run.status)).slice(-STEPS_SHOWN_AT_ONCE);
    this.#delivery.follow([...open, ...ended].map((run) => named(run, threadId)));
  }
}

function named(run: RestRun, threadId: string): RestRunName {
  return { run_id: run.id, run_number: run.run_number, thread_id: threadId, status: run.status };
}

function isEndedAtRest(run: RestRun | undefined): boolean {
  return run !== undefined && !isOpen(run.status);
}
