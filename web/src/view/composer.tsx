import type { TargetedKeyboardEvent, VNode } from "preact";
import { useEffect, useId, useLayoutEffect, useRef } from "preact/hooks";
import type { Chat } from "../chat/chat";
import type { Conversation } from "../chat/conversation";
import { sends } from "../keys/enter";
import { words } from "../words/words";
import { AgentPicker } from "./agent_picker";
import { announce } from "./announcer";
import { AttachButton } from "./attach_button";
import { DraftFiles } from "./draft_files";
import { Icon, StopIcon } from "./icons";
import { Interrupt } from "./interrupt";
import { useDraftOfOtherTabs } from "./other_tabs";
import { pasteInto } from "./paste";
import { Room } from "./room";
import { obstacleWords } from "./wording";

interface ComposerProps {
  readonly chat: Chat;
  readonly conversation: Conversation;
  /** Send the draft; false when it cannot be sent yet. `interrupts`: in the place of the answer that is being written. */
  readonly send: (interrupts: boolean) => boolean;
}

export function Composer({ chat, conversation, send }: ComposerProps): VNode {
  const field = useRef<HTMLTextAreaElement>(null);
  const hint = useId();
  const text = conversation.draft.text.value;
  useDraftOfOtherTabs(chat, field);
  useLayoutEffect(() => {
    if (field.current) fit(field.current);
  }, [text]);
  useEffect(() => {
    // On a touch screen the focus would open the keyboard over the conversation.
    if (matchMedia("(pointer: fine)").matches) field.current?.focus({ preventScroll: true });
  }, [conversation]);

  const busy = conversation.openRunIds.value.length > 0;
  const submit = (interrupts = false): void => {
    if (!send(interrupts)) return announce(obstacleWords(chat.writing.obstacle.value, conversation.draft.files.value.length > 0) ?? "");
    field.current?.focus({ preventScroll: true });
  };
  const pressed = (event: TargetedKeyboardEvent<HTMLTextAreaElement>): void => {
    if (!sends(event, touchOnly())) return;
    // It interrupts while there is what it can interrupt.
    if (busy && (event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    submit();
  };
  const obstacle = chat.writing.obstacle.value;
  const said = obstacleWords(obstacle, conversation.draft.files.value.length > 0);
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <DraftFiles chat={chat} draft={conversation.draft} />
      <textarea
        ref={field}
        rows={1}
        data-testid="composer"
        aria-label={words.composer.label}
        placeholder={words.composer.placeholder}
        autocomplete="off"
        enterkeyhint={touchOnly() ? "enter" : "send"}
        aria-describedby={hint}
        value={text}
        onInput={(event) => chat.writing.type(event.currentTarget.value)}
        onKeyDown={pressed}
        onBlur={() => conversation.draft.left()}
        onPaste={(event) => pasteInto(chat, conversation.draft, event)}
      />
      <p class="composer-hint" id={hint} data-testid="hint">
        {said}
      </p>
      <Room chat={chat} draft={conversation.draft} />
      <div class="composer-tools">
        <AttachButton chat={chat} draft={conversation.draft} done={() => field.current?.focus({ preventScroll: true })} />
        <AgentPicker chat={chat} done={() => field.current?.focus({ preventScroll: true })} />
        {busy && text.trim() !== "" ? <Interrupt field={field} act={() => submit(true)} /> : null}
        <Stop chat={chat} conversation={conversation} />
        <button type="submit" class="round primary" data-testid="send" aria-label={busy ? words.composer.sendAfter : words.composer.send} title={busy ? words.composer.sendAfter : words.composer.send} disabled={obstacle !== null}>
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

/** Nothing but a finger: the keyboard is on the screen. */
function touchOnly(): boolean {
  return !matchMedia("(any-pointer: fine)").matches;
}

/** As high as its text; the style sheet sets the limit. */
function fit(field: HTMLTextAreaElement): void {
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}
