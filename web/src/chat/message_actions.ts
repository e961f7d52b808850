// What the person does to a message that was said: another answer, an edit, an opinion, another branch.
import { signal } from "@preact/signals";
import { isOpen } from "../protocol/frames";
import { newMessageId } from "../protocol/identifier";
import { RestError } from "../session/rest";
import type { Conversation } from "./conversation";
import type { Delivery } from "./delivery";
import type { Drafts } from "./drafts";
import { type Feedback, type Fetch, giveFeedback, type RestMessage, retryRun } from "./rest";
import type { Toasts } from "./toasts";
import type { Question } from "./tree";

export interface Editing {
  readonly messageId: string;
  readonly text: string;
}

export interface MessageActionParts {
  readonly fetch: Fetch;
  readonly delivery: Delivery;
  readonly drafts: Drafts;
  readonly toasts: Toasts;
  readonly conversation: () => Conversation;
  /** Who is asked next. */
  readonly agent: () => string | null;
}

export class MessageActions {
  /** The question that is being edited, and what it is to say. */
  readonly editing = signal<Editing | null>(null);
  /** By answer, what was said of it here since it was read. */
  readonly feedback = signal<ReadonlyMap<string, Feedback | null>>(new Map());
  /** Runs for which another is being asked. */
  readonly retrying = signal<ReadonlySet<string>>(new Set());

  #parts: MessageActionParts;
  #giving: Promise<unknown> = Promise.resolve();

  constructor(parts: MessageActionParts) {
    this.#parts = parts;
  }

  // Another answer

  /** Answer the question again, beside the answers that it has; by default as it was answered last. */
  regenerate(questionId: string, agent: string | null = null): void {
    const conversation = this.#parts.conversation();
    const known = new Set(conversation.branch.runsOf(questionId));
    conversation.written();
    conversation.branch.await((tree) => tree.runsOf.get(questionId)?.findLast((id) => !known.has(id)) ?? null);
    this.#parts.delivery.regenerations.ask(questionId, agent);
  }

  /** Ask again what a failed or cancelled run was asked. The server does it once, however often it is told. */
  async retry(runId: string): Promise<void> {
    if (this.retrying.value.has(runId)) return;
    const conversation = this.#parts.conversation();
    this.retrying.value = new Set([...this.retrying.value, runId]);
    try {
      const { run_id: begun } = await retryRun(this.#parts.fetch, runId);
      conversation.written();
      conversation.branch.await((tree) => (tree.runs.has(begun) ? begun : null));
    } catch (error) {
      this.#failed(error);
      // Another tab may have been first.
      if (error instanceof RestError && error.status === 409) void conversation.load();
    } finally {
      this.retrying.value = new Set([...this.retrying.value].filter((id) => id !== runId));
    }
  }

  // An edit

  edit(messageId: string, text: string): void {
    this.#parts.conversation().branch.show(messageId);
    this.editing.value = { messageId, text: this.#parts.drafts.readEdit(messageId) || text };
  }

  /** The last question shown that the server has; false when there is none. */
  editLast(): boolean {
    const question = this.#parts.conversation().turns.value.findLast((turn) => turn.question?.state === "sent")?.question;
    if (!question) return false;
    this.edit(question.id, question.content);
    return true;
  }

  typeEdit(text: string): void {
    const { value } = this.editing;
    if (!value) return;
    this.editing.value = { ...value, text };
    this.#parts.drafts.writeEdit(value.messageId, text);
  }

  cancelEdit(): void {
    if (this.editing.value) this.#parts.drafts.writeEdit(this.editing.value.messageId, "");
    this.editing.value = null;
  }

  /** Ask it as it says now, beside the question as it was; answers that are being written end, if they are known of. */
  saveEdit(question: Question): void {
    const content = this.editing.value?.text.trim() ?? "";
    if (content === "") return;
    const conversation = this.#parts.conversation();
    const messageId = newMessageId();
    const busy = conversation.openRunIds.value.length > 0;
    this.cancelEdit();
    conversation.written();
    this.#parts.delivery.enqueue({
      messageId,
      conversation: conversation.key,
      threadId: conversation.threadId.value,
      content,
      agent: this.#parts.agent(),
      edits: question.id,
      whenBusy: busy ? "interrupt" : "reject",
      attachments: question.attachments,
    });
    conversation.branch.show(messageId);
  }

  // An opinion

  feedbackOn(messageId: string, message: RestMessage | null): Feedback | null {
    const given = this.feedback.value.get(messageId);
    return given === undefined ? (message?.feedback ?? null) : given;
  }

  /** Shown at once, and as it was when the server does not take it. One after the other: the last one counts. */
  rate(messageId: string, feedback: Feedback | null, before: Feedback | null): void {
    this.#rated(messageId, feedback);
    this.#giving = this.#giving.then(() => giveFeedback(this.#parts.fetch, messageId, feedback)).catch((error: unknown) => {
      if (this.feedback.value.get(messageId) === feedback) this.#rated(messageId, before);
      this.#failed(error);
    });
  }

  #rated(messageId: string, feedback: Feedback | null): void {
    this.feedback.value = new Map([...this.feedback.value, [messageId, feedback]]);
  }

  // Another branch

  async choose(id: string): Promise<void> {
    await this.#parts.conversation().choose(id).catch((error: unknown) => this.#failed(error));
  }

  async chooseNewest(): Promise<void> {
    await this.#parts.conversation().chooseNewest().catch((error: unknown) => this.#failed(error));
  }

  /** The latest answer shown that says something. */
  lastAnswer(): string | null {
    for (const { answer } of [...this.#parts.conversation().turns.value].reverse()) {
      const { live, message } = answer ?? {};
      const text = message?.content ?? live?.message?.content ?? (live && isOpen(live.status) ? live.text : "");
      if (text) return text;
    }
    return null;
  }

  #failed(error: unknown): void {
    if (!(error instanceof RestError)) throw error;
    this.#parts.toasts.failed(error);
  }
}
