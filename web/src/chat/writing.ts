// What the person writes and sends, whom it asks, and how it is taken back.
import { computed, type ReadonlySignal } from "@preact/signals";
import type { Clock } from "../protocol/clock";
import { newMessageId } from "../protocol/identifier";
import type { OutgoingMessage } from "../protocol/outbox";
import type { Agents } from "./agents";
import type { Attachments } from "./attachments";
import type { Conversation } from "./conversation";
import type { Delivery } from "./delivery";
import { attachmentsOf } from "./draft_files";
import type { MessageActions } from "./message_actions";
import type { Preferences } from "./preferences";
import type { Waiting } from "./queue";
import { type Obstacle, obstacle } from "./sending";

export interface WritingParts {
  readonly clock: Clock;
  readonly delivery: Delivery;
  readonly attachments: Attachments;
  readonly agents: Agents;
  readonly preferences: Preferences;
  readonly conversation: () => Conversation;
  readonly messages: MessageActions;
  /** Something is sent: what was said of an earlier message is over. */
  readonly sends: () => void;
}

export class Writing {
  /** Who is asked next: chosen here, else who was asked last, else the default one, else chosen last in a new conversation. */
  readonly agent: ReadonlySignal<string | null>;
  /** Why the draft cannot be sent as it is; null when it can. */
  readonly obstacle: ReadonlySignal<Obstacle | null>;

  #parts: WritingParts;

  constructor(parts: WritingParts) {
    this.#parts = parts;
    const { agents, conversation, delivery, preferences } = parts;
    this.agent = computed(() => {
      const { chosenAgent, latestAgent } = conversation();
      return agents.choose(chosenAgent.value, latestAgent.value, preferences.defaultAgent.value, agents.chosenIn(null));
    });
    this.obstacle = computed(() => obstacle(conversation().draft.written, this.agent.value, delivery.limits.value));
  }

  /** What the person has typed so far. */
  type(text: string): void {
    this.#parts.conversation().draft.type(text);
  }

  /** Ask this agent from now on: in this thread, or here and in new conversations when this is one. */
  chooseAgent(name: string): void {
    const { chosenAgent, threadId } = this.#parts.conversation();
    chosenAgent.value = name;
    this.#parts.agents.remember(threadId.value, name);
  }

  /** Send what is in the composer; false while something stands in its way. */
  sendDraft(interrupts = false): boolean {
    if (this.obstacle.value !== null) return false;
    const { draft } = this.#parts.conversation();
    const { text, files } = draft.written;
    draft.clear();
    this.send(text.trim(), this.agent.value, { attachments: attachmentsOf(files), ...(interrupts ? { whenBusy: "interrupt" } : {}) });
    return true;
  }

  send(content: string, agent = this.agent.value, more: Pick<OutgoingMessage, "whenBusy" | "attachments" | "edits"> = {}): void {
    const conversation = this.#parts.conversation();
    const messageId = newMessageId();
    const parentId = more.edits === undefined ? conversation.nextParent : null;
    this.#parts.sends();
    this.#parts.delivery.enqueue({
      messageId,
      conversation: conversation.key,
      threadId: conversation.threadId.value,
      content,
      agent,
      writtenAt: this.#parts.clock.now(),
      ...(parentId === null ? {} : { parentId }),
      ...more,
    });
    conversation.written();
    if (more.edits !== undefined) conversation.branch.show(messageId);
  }

  retry(messageId: string): void {
    this.#parts.delivery.retry(messageId, newMessageId());
  }

  /** Ask somebody else what was refused. */
  askInstead(messageId: string, agent: string): void {
    const message = this.#outgoing(messageId);
    if (!message) return;
    this.chooseAgent(agent);
    this.#parts.delivery.discard(messageId);
    const { attachments = [], edits } = message;
    this.send(message.content, agent, { attachments, ...(edits === undefined ? {} : { edits }) });
  }

  /** Take an unsent message back into the composer. */
  takeBack(messageId: string): void {
    const { attachments, conversation, delivery, messages } = this.#parts;
    const message = this.#outgoing(messageId);
    if (message?.edits) messages.edit(message.edits, message.content);
    delivery.discard(messageId);
    const { draft } = conversation();
    if (message && !message.edits) draft.takeBack(message);
    void attachments.check(draft);
  }

  /** Take a message that waits for the answer before it back into the composer. */
  takeOutOfQueue({ key, runId, content }: Waiting): void {
    if (runId === null) return this.takeBack(key);
    this.#parts.delivery.stopRun(runId);
    this.type([content, this.#parts.conversation().draft.text.value].filter((text) => text !== "").join("\n\n"));
  }

  #outgoing(messageId: string): OutgoingMessage | undefined {
    return this.#parts.delivery.outbox.value.find((each) => each.messageId === messageId);
  }
}
