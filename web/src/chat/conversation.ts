// The open thread: what REST has shown of it, joined with what the connection brings.
import { batch, computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { threadShown } from "../protocol/fold";
import { isOpen } from "../protocol/frames";
import type { RestError } from "../session/rest";
import type { Delivery, RestRunName } from "./delivery";
import type { Draft } from "./drafts";
import { EMPTY_HISTORY, extended, type History, refreshed } from "./history";
import { type Parted, parted } from "./queue";
import { type Fetch, loadMessages, loadThread, type MessagesPage, type RestRun } from "./rest";
import { isPassing, untilLoaded } from "./retrying";
import { type Turn, turnsOf } from "./turns";

const STEPS_SHOWN_AT_ONCE = 10;
const BETWEEN_READINGS_MS = 1000;

/** Names a conversation until the server has made its thread. */
export const NEW_CONVERSATION = "new:";

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
  readonly turns: ReadonlySignal<readonly Turn[]>;
  readonly openRunIds: ReadonlySignal<readonly string[]>;
  /** The turns that are shown, and what waits behind the answer that is being written. */
  readonly parted: ReadonlySignal<Parted>;

  #threadId = signal<string | null>(null);
  #fetch: Fetch;
  #delivery: Delivery;
  #loading: Promise<void> | null = null;
  #readAgain = false;
  #extending = false;
  #live = true;

  constructor(key: string, fetch: Fetch, delivery: Delivery, { draft, agent }: { readonly draft: Draft; readonly agent: string | null }) {
    this.key = key;
    this.draft = draft;
    this.chosenAgent = signal(agent);
    this.#fetch = fetch;
    this.#delivery = delivery;
    this.threadId = this.#threadId;
    if (key.startsWith(NEW_CONVERSATION)) this.loaded.value = true;
    else this.#threadId.value = key;
    this.turns = computed(() =>
      turnsOf({
        threadId: this.#threadId.value,
        conversation: this.key,
        history: this.history.value,
        runs: { ...delivery.lostRuns.value, ...delivery.state.value.runs },
        outbox: delivery.outbox.value,
      }),
    );
    this.latestAgent = computed(() => {
      const answer = this.turns.value.at(-1)?.answers.at(-1);
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

  /** Read the newest page, again or for the first time. Wishes during a reading are met by one further reading. */
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
    try {
      const page = await untilLoaded(() => loadMessages(this.#fetch, id, null), () => this.#live);
      if (!page || !this.#live) return;
      if (wasDeleted) this.#delivery.update((state) => threadShown(state, id));
      batch(() => {
        this.history.value = this.#joined(page);
        this.failure.value = null;
        this.loaded.value = true;
        const oldestRun = page.previous === null ? 0 : Math.min(...page.runs.map((run) => run.run_number));
        this.#delivery.threadRead(id, new Set(page.messages.map((message) => message.id)), oldestRun);
      });
      this.#followRunsOf(page);
    } catch (error) {
      this.failure.value = error as RestError;
    }
  }

  /**
   * An answer of an earlier page that was open when that was read, and of which the connection cannot tell any more, may
   * have ended since: earlier pages are then read again when they are wanted.
   */
  #joined(page: MessagesPage): History {
    const history = refreshed(this.history.value, page);
    const told = new Set(page.runs.map((run) => run.id));
    const live = this.#delivery.current.runs;
    const isOutdated = Object.values(history.runs).some((run) => isOpen(run.status) && !told.has(run.id) && !(run.id in live));
    return isOutdated ? refreshed(EMPTY_HISTORY, page) : history;
  }

  /** The page of messages before the oldest one shown. */
  async loadOlder(): Promise<void> {
    const { previous } = this.history.value;
    const id = this.#threadId.value;
    if (previous === null || id === null || this.#extending) return;
    this.#extending = true;
    try {
      const page = await untilLoaded(() => loadMessages(this.#fetch, id, previous), () => this.#live);
      // The newest page can have been read anew meanwhile, with a gap before it: this one then does not join it.
      const joins = this.history.value.previous === previous;
      if (page && this.#live && joins) this.history.value = extended(this.history.value, page);
    } catch (error) {
      if (!isPassing(error)) this.failure.value = error as RestError;
    } finally {
      this.#extending = false;
    }
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
