import type { TargetedKeyboardEvent, VNode } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { Chat } from "../chat/chat";
import type { Conversation } from "../chat/conversation";
import { words } from "../words/words";
import { AgentPicker } from "./agent_picker";
import { Icon, StopIcon } from "./icons";
import { Interrupt } from "./interrupt";

const IME_KEY = 229;

interface ComposerProps {
  readonly chat: Chat;
  readonly conversation: Conversation;
  /** `interrupts`: in the place of the answer that is being written. */
  readonly send: (text: string, interrupts: boolean) => void;
}

export function Composer({ chat, conversation, send }: ComposerProps): VNode {
  const field = useRef<HTMLTextAreaElement>(null);
  const text = conversation.draft.value;
  useLayoutEffect(() => {
    if (field.current) fit(field.current);
  }, [text]);
  useEffect(() => {
    // On a touch screen the focus would open the keyboard over the conversation.
    if (matchMedia("(pointer: fine)").matches) field.current?.focus({ preventScroll: true });
  }, [conversation]);

  const busy = conversation.openRunIds.value.length > 0;
  const submit = (interrupts = false): void => {
    const content = conversation.draft.value.trim();
    if (content === "") return;
    chat.type("");
    send(content, interrupts);
    field.current?.focus({ preventScroll: true });
  };
  const pressed = (event: TargetedKeyboardEvent<HTMLTextAreaElement>): void => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === IME_KEY) return;
    // It interrupts while there is what it can interrupt.
    if (busy && (event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    submit();
  };
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <textarea
        ref={field}
        rows={1}
        data-testid="composer"
        aria-label={words.composer.label}
        placeholder={words.composer.placeholder}
        autocomplete="off"
        enterkeyhint="send"
        value={text}
        onInput={(event) => chat.type(event.currentTarget.value)}
        onKeyDown={pressed}
      />
      <div class="composer-tools">
        <AgentPicker chat={chat} done={() => field.current?.focus({ preventScroll: true })} />
        {busy && text.trim() !== "" ? <Interrupt field={field} act={() => submit(true)} /> : null}
        <Stop chat={chat} conversation={conversation} />
        <button type="submit" class="round primary" data-testid="send" aria-label={busy ? words.composer.sendAfter : words.composer.send} title={busy ? words.composer.sendAfter : words.composer.send} disabled={text.trim() === ""}>
          <Icon name="send" />
        </button>
      </div>
    </form>
  );
}

/** Stops the answer that is being written; questions that wait behind it go on. */
function Stop({ chat, conversation }: { readonly chat: Chat; readonly conversation: Conversation }): VNode | null {
  const [runId] = conversation.openRunIds.value;
  if (runId === undefined) return null;
  const stopping = chat.delivery.stopping.value.has(runId);
  return (
    <button
      type="button"
      class="round"
      data-testid="stop"
      aria-label={words.composer.stop}
      title={words.composer.stop}
      disabled={stopping}
      onClick={() => chat.delivery.stopRun(runId)}
    >
      <StopIcon />
    </button>
  );
}

/** As high as its text; the style sheet sets the limit. */
function fit(field: HTMLTextAreaElement): void {
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}
