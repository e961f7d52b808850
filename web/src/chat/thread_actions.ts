// What the person does to a thread of the list: name it, put it away, delete it, and undo that. It is shown at once; when
// the server does not do it, the list is as it was, and a toast says why.
import { signal } from "@preact/signals";
import type { ThreadSummary } from "../protocol/frames";
import { RestError } from "../session/rest";
import { inSentence } from "../words/names";
import { words } from "../words/words";
import { changeThread, deleteThread, type Fetch, restoreThread, type SeenThread, seeThread } from "./rest";
import type { ThreadList } from "./thread_list";
import type { Toasts } from "./toasts";

export const LONGEST_TITLE = 200;

export interface Renaming {
  readonly threadId: string;
  /** The title that the person sees and changes. */
  readonly seen: string;
  /** What somebody else has called it meanwhile. */
  readonly theirs: string | null;
  readonly saving: boolean;
}

/** Where the person wants a thread, until the server has said that it is there: what it says before that is older. */
interface Intent {
  readonly archived: boolean;
  readonly asking: number;
  readonly heard: boolean;
}

export interface ActionParts {
  readonly fetch: Fetch;
  readonly lists: readonly ThreadList[];
  readonly toasts: Toasts;
  /** Whether the thread is open in this tab. */
  readonly isOpen: (threadId: string) => boolean;
  readonly open: (threadId: string | null) => void;
}

export class ThreadActions {
  readonly renaming = signal<Renaming | null>(null);
  /** The thread that came back last, for the focus to go to. */
  readonly restored = signal<string | null>(null);

  #parts: ActionParts;
  #etag: Promise<SeenThread> | null = null;
  #changing: Promise<unknown> = Promise.resolve();
  #intents = new Map<string, Intent>();

  constructor(parts: ActionParts) {
    this.#parts = parts;
  }

  startRenaming({ id, title }: ThreadSummary): void {
    this.renaming.value = { threadId: id, seen: title, theirs: null, saving: false };
    this.#look(id);
  }

  cancelRenaming(): void {
    this.renaming.value = null;
  }

  /** The thread is known by another title now: told while the person is naming it. */
  retitled({ id, title }: ThreadSummary): void {
    const renaming = this.renaming.value;
    if (renaming?.threadId !== id || renaming.saving || title === (renaming.theirs ?? renaming.seen)) return;
    this.renaming.value = { ...renaming, theirs: title };
    this.#look(id);
  }

  /** Name it; with a `theirs` that the person has seen, over that. Nothing when the title is as it was. */
  async rename(text: string): Promise<void> {
    const renaming = this.renaming.value;
    const title = text.trim();
    if (!renaming || renaming.saving) return;
    if (title === "" || title === (renaming.theirs ?? renaming.seen)) return this.cancelRenaming();
    this.renaming.value = { ...renaming, saving: true };
    try {
      const seen = await this.#etag;
      if (seen && seen.thread.title !== (renaming.theirs ?? renaming.seen)) return this.#overtaken(renaming, seen);
      const { thread } = await changeThread(this.#parts.fetch, renaming.threadId, { title }, seen?.etag);
      this.#put(thread);
      this.renaming.value = null;
    } catch (error) {
      await this.#notRenamed(renaming, error);
    }
  }

  async #notRenamed(renaming: Renaming, error: unknown): Promise<void> {
    if (error instanceof RestError && error.code === "PRECONDITION_FAILED") {
      this.#look(renaming.threadId);
      const now = await this.#etag?.catch(() => null);
      if (now) return this.#overtaken(renaming, now);
    }
    this.renaming.value = { ...renaming, saving: false };
    this.#failed(error);
  }

  #overtaken(renaming: Renaming, { thread }: SeenThread): void {
    this.#put(thread);
    // Put away or brought back meanwhile, it has the same title: that is no conflict of names.
    if (thread.title === (renaming.theirs ?? renaming.seen)) this.renaming.value = { ...renaming, saving: false };
    else this.renaming.value = { ...renaming, theirs: thread.title, saving: false };
  }

  #look(threadId: string): void {
    this.#etag = seeThread(this.#parts.fetch, threadId);
    // Who waits for it is told.
    this.#etag.catch(() => {});
  }

  async archive(thread: ThreadSummary, archived: boolean): Promise<void> {
    const { toasts, fetch } = this.#parts;
    this.#intents.set(thread.id, { archived, asking: (this.#intents.get(thread.id)?.asking ?? 0) + 1, heard: false });
    this.#put({ ...thread, archived });
    const said = archived ? words.sidebar.archived : words.sidebar.unarchived;
    toasts.done(said(titleOf(thread)), () => void this.archive({ ...thread, archived }, !archived));
    // An undo follows what it undoes, however quickly it comes.
    const change = this.#changing.then(() => changeThread(fetch, thread.id, { archived }));
    this.#changing = change.catch(() => {});
    try {
      // What else the answer says of the thread, its notice says in its place: the answer can come behind a newer one.
      await change;
      const intent = this.#intents.get(thread.id);
      if (intent) this.#intend(thread.id, { ...intent, asking: intent.asking - 1 });
    } catch (error) {
      this.#intents.delete(thread.id);
      this.#put(thread);
      this.#failed(error);
    }
  }

  /** The thread as it is to be shown, when a notice tells of it: a notice of what the person has undone comes late. */
  told(thread: ThreadSummary): ThreadSummary {
    const intent = this.#intents.get(thread.id);
    if (!intent) return thread;
    this.#intend(thread.id, { ...intent, heard: thread.archived === intent.archived });
    return { ...thread, archived: intent.archived };
  }

  /** The lists were read anew. */
  settle(): void {
    for (const [id, intent] of this.#intents) {
      if (intent.asking === 0) this.#intents.delete(id);
    }
  }

  #intend(threadId: string, intent: Intent): void {
    if (intent.heard && intent.asking === 0) this.#intents.delete(threadId);
    else this.#intents.set(threadId, intent);
  }

  /** Gone at once, for every tab; the server keeps it for a while, so that it can be brought back. */
  async delete(thread: ThreadSummary): Promise<void> {
    const { toasts, fetch, lists, isOpen, open } = this.#parts;
    const wasOpen = isOpen(thread.id);
    for (const list of lists) list.hide(thread.id, true);
    if (wasOpen) open(null);
    const deleting = deleteThread(fetch, thread.id);
    toasts.done(words.sidebar.deleted(titleOf(thread)), () => void this.#restore(thread, deleting, wasOpen));
    try {
      await deleting;
      for (const list of lists) list.drop(thread.id);
    } catch (error) {
      const isGone = error instanceof RestError && error.code === "THREAD_NOT_FOUND";
      if (isGone) for (const list of lists) list.drop(thread.id);
      else {
        if (wasOpen) open(thread.id);
        this.#failed(error);
      }
    }
    for (const list of lists) list.hide(thread.id, false);
  }

  async #restore(thread: ThreadSummary, deleting: Promise<void>, reopen: boolean): Promise<void> {
    try {
      await deleting;
    } catch {
      // It was not deleted: it is there again already.
      return;
    }
    try {
      this.#put(await restoreThread(this.#parts.fetch, thread.id));
      if (reopen) this.#parts.open(thread.id);
      this.restored.value = thread.id;
    } catch (error) {
      this.#failed(error);
    }
  }

  #put(thread: ThreadSummary): void {
    const intent = this.#intents.get(thread.id);
    for (const list of this.#parts.lists) list.put(intent ? { ...thread, archived: intent.archived } : thread);
  }

  #failed(error: unknown): void {
    if (!(error instanceof RestError)) throw error;
    this.#parts.toasts.failed(error);
  }
}

function titleOf({ title }: ThreadSummary): string {
  return inSentence(title || words.app.untitled);
}
