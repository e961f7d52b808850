import type { VNode } from "preact";
import type { Chat } from "../chat/chat";
import type { Waiting } from "../chat/queue";
import { inSentence } from "../words/names";
import { words } from "../words/words";
import { Icon } from "./icons";

interface QueueProps {
  readonly chat: Chat;
  readonly waiting: readonly Waiting[];
}

/** What is sent when the answer before it is done. */
export function Queue({ chat, waiting }: QueueProps): VNode | null {
  if (waiting.length === 0) return null;
  return (
    <section class="queue" aria-label={words.queue.label} data-testid="queue">
      <p class="queue-head">{words.queue.waiting(waiting.length)}</p>
      <ol>
        {waiting.map((each) => (
          <Item key={each.key} chat={chat} waiting={each} />
        ))}
      </ol>
    </section>
  );
}

function Item({ chat, waiting }: { readonly chat: Chat; readonly waiting: Waiting }): VNode {
  const { key, content, runId, settled } = waiting;
  const leaving = runId !== null && chat.delivery.stopping.value.has(runId);
  const leave = (act: () => void): void => {
    act();
    // The button that was pressed goes away.
    document.querySelector<HTMLElement>(".composer textarea")?.focus({ preventScroll: true });
  };
  return (
    <li class="queue-item" data-testid="queued" data-message-id={key} data-status={runId === null ? "sending" : leaving ? "leaving" : "queued"}>
      <span class="queue-text">{content}</span>
      {runId === null ? <span class="queue-state sending">{settled ? words.question.notSent : words.question.sending}</span> : null}
      {leaving ? <span class="queue-state">{words.queue.cancelling}</span> : null}
      <button type="button" class="queue-button" data-testid="queue-edit" aria-label={words.queue.edit(inSentence(content))} title={words.question.edit} disabled={leaving || !settled} onClick={() => leave(() => chat.writing.takeOutOfQueue(waiting))}>
        <Icon name="pencil" />
      </button>
      <button type="button" class="queue-button" data-testid="queue-cancel" aria-label={words.queue.cancel(inSentence(content))} title={words.app.cancel} disabled={leaving || !settled} onClick={() => leave(() => (runId === null ? chat.delivery.discard(key) : chat.delivery.stopRun(runId)))}>
        <Icon name="close" />
      </button>
    </li>
  );
}
