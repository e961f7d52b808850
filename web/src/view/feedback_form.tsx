import type { TargetedKeyboardEvent, TargetedSubmitEvent, VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Chat } from "../chat/chat";
import type { Feedback } from "../chat/rest";
import { words } from "../words/words";
import { announce } from "./announcer";
import { isComposing } from "./composing";

interface FormProps {
  readonly chat: Chat;
  readonly messageId: string;
  readonly given: Feedback;
  readonly close: () => void;
}

export function FeedbackForm({ chat, messageId, given, close }: FormProps): VNode {
  const field = useRef<HTMLTextAreaElement>(null);
  const [text, setText] = useState(given.text);
  const label = given.rating === "up" ? words.feedback.whatWasGood : words.feedback.whatWasBad;
  useEffect(() => {
    // On a touch screen the focus would open the keyboard over the conversation.
    if (matchMedia("(pointer: fine)").matches) field.current?.focus();
  }, []);
  const send = (event?: TargetedSubmitEvent<HTMLFormElement>): void => {
    event?.preventDefault();
    chat.messages.rate(messageId, { rating: given.rating, text: text.trim() }, given);
    announce(words.feedback.sent);
    close();
  };
  const pressed = (event: TargetedKeyboardEvent<HTMLFormElement>): void => {
    if (isComposing(event) || event.shiftKey) return;
    const sends = event.key === "Enter" && event.target === field.current;
    if (!sends && event.key !== "Escape") return;
    event.preventDefault();
    if (sends) send();
    else close();
  };
  return (
    <form class="feedback" data-testid="feedback" onSubmit={send} onKeyDown={pressed}>
      <label>
        {label}
        <textarea ref={field} rows={2} data-testid="feedback-text" value={text} maxLength={LONGEST_COMMENT} onInput={(event) => setText(event.currentTarget.value)} />
      </label>
      <div class="feedback-buttons">
        <button type="button" data-testid="feedback-close" onClick={close}>
          {words.feedback.close}
        </button>
        <button type="submit" class="primary" data-testid="feedback-send">
          {words.feedback.send}
        </button>
      </div>
    </form>
  );
}

const LONGEST_COMMENT = 4000;
