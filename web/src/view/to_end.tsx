import { useComputed } from "@preact/signals";
import type { VNode } from "preact";
import { useRef } from "preact/hooks";
import type { Conversation } from "../chat/conversation";
import { answerView } from "../chat/turns";
import { words } from "../words/words";
import { Icon } from "./icons";

interface ToEndProps {
  readonly conversation: Conversation;
  readonly pin: () => void;
}

/** Shown while the person reads further up: leads back, and has a sign when something came meanwhile. */
export function ToEnd({ conversation, pin }: ToEndProps): VNode {
  const end = useComputed(() => endOf(conversation));
  const left = useRef(end.peek());
  const fresh = end.value !== left.current;
  return (
    <button
      type="button"
      class="to-end"
      data-testid="to-end"
      data-fresh={fresh}
      aria-label={fresh ? words.conversation.newBelow : words.conversation.toEnd}
      onClick={pin}
    >
      <Icon name="down" />
    </button>
  );
}

/** What stands at the conversation's end, as far as it can be told apart. */
function endOf(conversation: Conversation): string {
  const turn = conversation.turns.value.at(-1);
  const answer = turn?.answer;
  if (!turn || !answer) return turn?.key ?? "";
  const { text, steps, status } = answerView(answer);
  return [turn.key, answer.runId, status, steps.length, text.length].join(" ");
}
