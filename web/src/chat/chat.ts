// One signed-in person's chat: the list, the open conversation and the connection, and what each tells the others.
import { computed, type ReadonlySignal, signal } from "@preact/signals";
import type { Clock } from "../protocol/clock";
import type { ConnectionParts } from "../protocol/connection";
import { listLoaded } from "../protocol/fold";
import type { ErrorMessage, RunStatus, ThreadNotice } from "../protocol/frames";
import { isOpen } from "../protocol/frames";
import { newMessageId } from "../protocol/identifier";
import type { Outbox, OutgoingMessage } from "../protocol/outbox";
import { RestError } from "../session/rest";
import { Agents } from "./agents";
import { Attachments } from "./attachments";
import { CatchingUp } from "./catching_up";
import { ChosenBranches } from "./chosen_branches";
import { Conversation, NEW_CONVERSATION } from "./conversation";
import { Delivery } from "./delivery";
import { downloaded, type FetchFile, save } from "./download";
import { attachmentsOf } from "./draft_files";
import { Drafts } from "./drafts";
import { Interruption } from "./interruption";
import type { SendFile } from "./file_transfer";
import { MessageActions } from "./message_actions";
import { News } from "./news";
import type { OutboxStore } from "./outbox_store";
import { addressOf, threadInAddress } from "./place";
import { Preferences, PREFERENCES_CHANNEL } from "./preferences";
import { isRegeneration } from "./regenerations";
import { type Fetch, loadArguments, loadToolResult, type Me } from "./rest";
import { SettingsPlace } from "./settings_place";
import { ThreadActions } from "./thread_actions";
import { ThreadList } from "./thread_list";
import { ThreadSearch } from "./thread_search";
import { loadThreadUsage, type ThreadUsage } from "./thread_usage";
import { Toasts } from "./toasts";
import { Writing } from "./writing";

export interface Notice {
  readonly code: string;
  readonly message: string;
  readonly retryAfter: number | null;
}

export interface ChatParts {
  readonly me: Me;
  readonly fetch: Fetch;
  readonly fetchFile: FetchFile;
  readonly outbox: OutboxStore;
  readonly token: (renew: boolean) => Promise<string | null>;
  readonly dial: ConnectionParts["dial"];
  readonly clock: Clock;
  readonly nextFrame: (act: () => void) => void;
  readonly sendFile: SendFile;
  readonly drawPreview: (image: Blob) => Promise<string>;
}

const CONNECTION_ERRORS = new Set([
  "NO_TOKEN", "INVALID_TOKEN", "TOKEN_EXPIRED", "USER_INACTIVE", "ORIGIN_NOT_ALLOWED", "TOO_MANY_CONNECTIONS", "WINDOW_FULL",
]);

export class Chat {
  readonly me: Me;
  readonly fetch: Fetch;
  readonly fetchFile: FetchFile;
  readonly list: ThreadList;
  /** Threads that were put away; read when they are wanted. */
  readonly archive: ThreadList;
  readonly search: ThreadSearch;
  readonly actions: ThreadActions;
  readonly messages: MessageActions;
  readonly writing: Writing;
  readonly toasts: Toasts;
  readonly news: News;
  readonly delivery: Delivery;
  readonly interruption: Interruption;
  readonly drafts: Drafts;
  readonly attachments: Attachments;
  readonly branches: ChosenBranches;
  readonly agents: Agents;
  readonly preferences: Preferences;
  readonly settings: SettingsPlace;
  readonly conversation: ReadonlySignal<Conversation>;
  /** Threads in which an answer is being written. */
  readonly busyThreads: ReadonlySignal<ReadonlySet<string>>;
  /** Threads in which an agent waits for an approval. */
  readonly waitingThreads: ReadonlySignal<ReadonlySet<string>>;
  /** Of the open conversation; null for one that has none. */
  readonly title: ReadonlySignal<string | null>;
  readonly notice = signal<Notice | null>(null);

  #parts: ChatParts;
  #unwatch: () => void;
  #conversation;
  #catchingUp: CatchingUp;

  constructor(parts: ChatParts) {
    this.#parts = parts;
    this.me = parts.me;
    this.fetch = parts.fetch;
    this.fetchFile = parts.fetchFile;
    this.drafts = new Drafts(String(parts.me.id));
    this.branches = new ChosenBranches(String(parts.me.id));
    this.agents = new Agents(parts.fetch, String(parts.me.id));
    this.preferences = new Preferences(parts.fetch, parts.me, "BroadcastChannel" in globalThis ? new BroadcastChannel(PREFERENCES_CHANNEL) : null);
    this.settings = new SettingsPlace(() => addressOf(this.#conversation.value.threadId.value));
    this.delivery = new Delivery({
      clock: parts.clock,
      random: Math.random,
      token: parts.token,
      dial: parts.dial,
      nextFrame: parts.nextFrame,
      events: {
        established: (frame, first) => {
          this.agents.announced(frame.agents);
          this.attachments.connected();
          this.#established(first, frame.last_run_number);
        },
        noticed: (notice) => this.#noticed(notice),
        accepted: (message, { thread_id }) => this.#accepted(message, thread_id),
        refused: ({ threadId }, { error_code }) => {
          if (threadId !== null && error_code === "THREAD_NOT_FOUND") this.#threadGone(threadId);
        },
        failed: (error) => this.#failed(error),
        stale: (stale) => this.#catchingUp.refresh(stale),
        outboxChanged: (outbox) => parts.outbox.write(outbox),
      },
    });
    this.interruption = new Interruption(parts.clock);
    this.#unwatch = this.delivery.connection.subscribe(({ phase }) => this.interruption.look(phase === "connected"));
    this.attachments = new Attachments({
      fetch: parts.fetch,
      token: parts.token,
      clock: parts.clock,
      limits: () => this.delivery.limits.value,
      send: parts.sendFile,
      draw: parts.drawPreview,
    });
    this.list = new ThreadList(parts.fetch, (version, threads) => {
      const ids = threads.map((thread) => thread.id);
      this.delivery.update((state) => listLoaded(state, version, ids));
      this.news.listed(ids);
      this.actions.settle();
    });
    this.archive = new ThreadList(parts.fetch, () => {}, true);
    this.search = new ThreadSearch(parts.fetch, parts.clock);
    this.toasts = new Toasts(parts.clock);
    this.news = new News(String(parts.me.id));
    this.actions = new ThreadActions({
      fetch: parts.fetch,
      lists: [this.list, this.archive],
      toasts: this.toasts,
      isOpen: (id) => this.#conversation.value.threadId.value === id,
      open: (id) => this.open(id),
    });
    const conversation = (): Conversation => this.#conversation.value;
    this.messages = new MessageActions({
      fetch: parts.fetch,
      delivery: this.delivery,
      drafts: this.drafts,
      toasts: this.toasts,
      conversation,
      agent: () => this.writing.agent.value,
    });
    this.writing = new Writing({
      clock: parts.clock,
      delivery: this.delivery,
      attachments: this.attachments,
      agents: this.agents,
      preferences: this.preferences,
      messages: this.messages,
      conversation,
      sends: () => (this.notice.value = null),
    });
    this.#catchingUp = new CatchingUp({
      clock: parts.clock,
      delivery: this.delivery,
      list: this.list,
      conversation,
      gone: (threadId) => this.#threadGone(threadId),
    });
    this.#conversation = signal(this.#conversationOf(threadInAddress(SettingsPlace.chatAddress())));
    this.conversation = this.#conversation;
    const threadsWith = (wanted: (status: RunStatus) => boolean): ReadonlySet<string> => {
      const runs = Object.values(this.delivery.state.value.runs);
      return new Set(runs.filter((run) => wanted(run.status)).map((run) => run.thread_id ?? ""));
    };
    this.busyThreads = computed(() => threadsWith(isOpen));
    this.waitingThreads = computed(() => threadsWith((status) => status === "awaiting_approval"));
    this.title = computed(() => {
      const { threadId, title } = this.conversation.value;
      const id = threadId.value;
      const lists = [this.list, this.archive];
      const listed = id === null ? undefined : lists.flatMap((list) => list.threads.value.find((thread) => thread.id === id) ?? [])[0];
      return (listed?.title ?? title.value) || null;
    });
  }

  readonly toolResult = (href: string): Promise<unknown> => loadToolResult(this.#parts.fetch, href);

  readonly threadUsage = (threadId: string): Promise<ThreadUsage> => loadThreadUsage(this.#parts.fetch, threadId);

  readonly approvalArguments = (href: string, toolCallId: string): Promise<unknown> =>
    loadArguments(this.#parts.fetch, href, toolCallId);

  /** Save a thread as a file; a toast says when that fails. */
  async exportThread(threadId: string, form: "md" | "json"): Promise<void> {
    try {
      save(await downloaded(this.fetchFile, `/api/threads/${threadId}/export.${form}`, { signal: new AbortController().signal }));
    } catch (error) {
      if (!(error instanceof RestError)) throw error;
      this.toasts.failed(error);
    }
  }

  start(): void {
    this.delivery.start(this.#parts.outbox.read());
    this.#parts.outbox.adopt(this.#adopted);
    void this.#conversation.value.load();
    void this.list.reload().then(
      () => this.#titleWanted(),
      () => {},
    );
  }

  close(): void {
    this.#catchingUp.close();
    this.preferences.close();
    this.#unwatch();
    this.interruption.close();
    this.delivery.stop();
    this.list.close();
    this.archive.close();
    this.toasts.dismiss();
    this.#conversation.value.close();
    this.#parts.outbox.close();
    this.attachments.close();
  }

  /** The person signs out: what no socket has seen is a draft again; the rest is known to the server, or is sent again. */
  leave(): void {
    this.branches.forget();
    this.delivery.stop();
    const unsent = this.delivery.outbox.value.filter(({ state, tried }) => state !== "accepted" && !tried);
    this.drafts.takeBack(unsent);
    for (const { messageId } of unsent) this.delivery.discard(messageId);
  }

  /** Show a thread, or a new conversation for null. */
  open(threadId: string | null): void {
    const isOpen = threadId !== null && this.#conversation.value.threadId.value === threadId;
    if (isOpen && !this.settings.shown.peek()) return;
    history.pushState(null, "", addressOf(threadId));
    this.settings.left();
    if (!isOpen) this.#show(threadId);
  }

  /** The person went back or forward. */
  addressChanged(): void {
    if (this.settings.addressChanged()) return;
    const threadId = threadInAddress(location.pathname);
    if (threadId === null || threadId !== this.#conversation.value.threadId.value) this.#show(threadId);
  }

  /** Look at what is busy and what the person sees: a tab that is hidden shows nobody anything. */
  lookForNews(hidden: boolean): void {
    const { deletedThreads, threadsVersion } = this.delivery.state.value;
    const busy = this.busyThreads.value;
    const seen = this.seen(hidden);
    // Before the first connection nobody knows what is busy.
    if (threadsVersion !== null) this.news.look({ busy, seen, deleted: (id) => id in deletedThreads });
  }

  /** The thread that the person looks at: none in a tab that is hidden, nor behind the settings. */
  seen(hidden: boolean): string | null {
    return hidden || this.settings.shown.value ? null : this.#conversation.value.threadId.value;
  }

  /** The page was woken, or the network came back. */
  check(): void {
    this.delivery.check();
  }

  /** Another tab has changed what the browser keeps of the outbox. */
  stored(event: StorageEvent): void {
    this.#parts.outbox.changed(event, this.#adopted, () => this.delivery.letGo());
  }

  /** A closed tab has left messages. That of a new conversation is shown where nothing else is. */
  readonly #adopted = (left: Outbox): void => {
    this.delivery.adopt(left);
    const { threadId, turns, draft } = this.#conversation.value;
    if (threadId.value === null && turns.value.length === 0 && draft.text.value === "" && draft.files.value.length === 0) this.#show(null);
  };

  #show(threadId: string | null): void {
    this.#conversation.value.close();
    this.notice.value = null;
    this.#conversation.value = this.#conversationOf(threadId);
    void this.#conversation.value.load();
    if (this.list.loaded.value) this.#titleWanted();
  }

  #titleWanted(): void {
    const { threadId } = this.#conversation.value;
    if (this.list.threads.value.some((thread) => thread.id === threadId.value)) return;
    // A thread that cannot be read has no title, and the conversation says why.
    this.#conversation.value.loadTitle().catch(() => {});
  }

  /** A new conversation whose first message is still in the outbox is taken up again. */
  #conversationOf(threadId: string | null): Conversation {
    const waiting = this.#parts.outbox.read().findLast((message) => message.threadId === null);
    const key = threadId ?? waiting?.conversation ?? NEW_CONVERSATION + newMessageId();
    const agent = threadId === null ? null : this.agents.chosenIn(threadId);
    const draft = this.drafts.of(threadId);
    void this.attachments.check(draft);
    const { fetch } = this.#parts;
    const { branches, delivery } = this;
    return new Conversation(key, { fetch, delivery, branches, draft, agent });
  }

  /** What was read before the first connection may lack runs that began between the reading and the connection. */
  #established(first: boolean, lastRunNumber: number): void {
    this.notice.value = null;
    if (!first) this.preferences.reload().catch(() => {});
    const conversation = this.#conversation.value;
    const newest = Math.max(0, ...Object.values(conversation.history.value.runs).map((run) => run.run_number));
    if ((first && lastRunNumber > newest) || conversation.failure.value) void conversation.load();
  }

  #noticed(notice: ThreadNotice): void {
    const told = { ...notice, thread: this.actions.told(notice.thread) };
    this.list.apply(told);
    this.archive.apply(told);
    this.search.apply(notice);
    if (notice.type !== "thread_deleted") this.actions.retitled(notice.thread);
    if (notice.type === "thread_deleted") this.drafts.deleted(notice.thread.id);
    if (notice.type === "thread_created") this.drafts.restored(notice.thread.id);
    const { threadId, title } = this.#conversation.value;
    if (notice.thread.id !== threadId.value) return;
    if (notice.type !== "thread_deleted") {
      title.value = notice.thread.title;
      return;
    }
    this.#threadGone(notice.thread.id);
  }

  /** What was typed or waited for a thread that was deleted goes into the composer of a new conversation. */
  #threadGone(threadId: string): void {
    const { threadId: open, draft } = this.#conversation.value;
    const wasOpen = open.value === threadId;
    if (wasOpen) {
      const typed = { content: draft.text.value, attachments: attachmentsOf(draft.files.value) };
      draft.clear();
      this.#show(null);
      this.#addressMoved();
      this.#keepForNew([typed]);
    }
    const unsent = this.delivery.outbox.value.filter((message) => message.threadId === threadId && message.state !== "accepted");
    for (const message of unsent) this.delivery.discard(message.messageId);
    this.#keepForNew(unsent);
    if (wasOpen || unsent.length > 0) this.notice.value = { code: "THREAD_DELETED", message: "", retryAfter: null };
  }

  #keepForNew(messages: readonly Pick<OutgoingMessage, "content" | "attachments">[]): void {
    const draft = this.drafts.of(null);
    for (const message of messages) draft.append(message);
  }

  #accepted(message: OutgoingMessage, threadId: string): void {
    const conversation = this.#conversation.value;
    if (message.conversation !== conversation.key && threadId !== conversation.threadId.value) return;
    conversation.accepted(message.messageId);
    if (conversation.threadId.value !== null) return;
    conversation.begun(threadId);
    this.#addressMoved();
    this.drafts.begun(conversation.draft, threadId);
  }

  /** What is open has another address. While the settings lie over it, they have theirs. */
  #addressMoved(): void {
    if (!this.settings.shown.peek()) history.replaceState(null, "", addressOf(this.#conversation.value.threadId.value));
  }

  #failed(error: ErrorMessage): void {
    if (CONNECTION_ERRORS.has(error.error_code)) return;
    if (isRegeneration(error.ref)) this.#conversation.value.branch.forgetWish();
    const { error_code: code, error_message: message, retry_after: retryAfter = null } = error;
    this.notice.value = { code, message, retryAfter };
  }
}
