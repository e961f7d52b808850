import type { TargetedKeyboardEvent, TargetedSubmitEvent, VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Chat } from "../chat/chat";
import type { Feedback } from "../chat/rest";
import { words } from "../words/words";
import { announce } from "./announcer";
import { isComposing } from "./composing";
import { Icon } from "./icons";

interface ThumbsProps {
  readonly chat: Chat;
  readonly messageId: string;
  readonly given: Feedback | null;
  /** The person may want to say more, or does not any more. */
  readonly comment: (wanted: boolean) => void;
}

/** A thumb that was pressed is pressed again to take it back. */
export function Thumbs({ chat, messageId, given, comment }: ThumbsProps): VNode {
  const press = (rating: Feedback["rating"]): void => {
    const takesBack = given?.rating === rating;
    chat.messages.rate(messageId, takesBack ? null : { rating, text: given?.text ?? "" }, given);
    announce(takesBack ? words.message.takenBack : rating === "up" ? words.message.ratedGood : words.message.ratedBad);
    comment(!takesBack);
  };
  const thumb = (rating: Feedback["rating"], label: string): VNode => (
    <button
      type="button"
      class="tool"
      data-testid={`thumb-${rating}`}
      aria-label={label}
      title={label}
      aria-pressed={given?.rating === rating}
      onClick={() => press(rating)}
    >
      <Icon name={rating === "up" ? "thumbUp" : "thumbDown"} />
    </button>
  );
  return (
    <>
      {thumb("up", words.message.good)}
      {thumb("down", words.message.bad)}
    </>
  );
}

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
