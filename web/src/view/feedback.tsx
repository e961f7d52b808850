import type { VNode } from "preact";
import type { Chat } from "../chat/chat";
import type { Feedback } from "../chat/rest";
import { words } from "../words/words";
import { announce } from "./announcer";
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
