import type { ComponentChildren, VNode } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Chat } from "../chat/chat";
import type { RestMessage } from "../chat/rest";
import type { Place } from "../chat/tree";
import type { AnswerView, Question } from "../chat/turns";
import { useShortcut } from "../keys/shortcuts";
import { isOpen } from "../protocol/frames";
import { words } from "../words/words";
import { BranchSwitcher } from "./branch_switcher";
import { copy } from "./clipboard";
import { CopyButton } from "./copy_button";
import { Thumbs } from "./feedback";
import { Icon, Spinner } from "./icons";
import { Menu } from "./menu";
import { loadSeldom, seldom } from "./seldom_loaded";
import { Toolbar } from "./toolbar";

/** After what the person came for. */
const SOON_MS = 500;

interface QuestionBodyProps {
  readonly chat: Chat;
  readonly question: Question;
  readonly place: Place;
  readonly children: ComponentChildren;
}

/** A question and what can be done to it; or the field in which it is edited. */
export function QuestionBody({ chat, question, place, children }: QuestionBodyProps): VNode {
  const pencil = useRef<HTMLButtonElement>(null);
  const from = useRef<HTMLElement | null>(null);
  const { editing } = chat.messages;
  const edited = editing.value?.messageId === question.id ? editing.value : null;
  const isEdited = edited !== null;
  if (isEdited) loadSeldom();
  useLayoutEffect(() => {
    if (isEdited || !from.current) return;
    // The pencil is drawn anew; the field of the composer is the one that it was.
    (from.current.isConnected ? from.current : pencil.current)?.focus({ preventScroll: true });
    from.current = null;
  }, [isEdited]);
  const parts = seldom.value;
  if (edited && parts) {
    from.current ??= document.activeElement as HTMLElement | null;
    return <parts.QuestionEditor chat={chat} question={question} text={edited.text} />;
  }
  return (
    <>
      {children}
      <Toolbar label={words.message.ofQuestion}>
        {question.state === "sent" ? (
          <>
            <CopyButton class="tool" label={words.message.copy} text={() => question.content} />
            <button
              type="button"
              ref={pencil}
              class="tool"
              data-testid="edit"
              aria-label={words.question.edit}
              title={words.question.edit}
              onClick={() => chat.messages.edit(question.id, question.content)}
            >
              <Icon name="pencil" />
            </button>
          </>
        ) : null}
        <BranchSwitcher chat={chat} ids={question.id} {...place} />
      </Toolbar>
    </>
  );
}

interface AnswerActionsProps {
  readonly chat: Chat;
  readonly view: AnswerView;
  readonly runId: string;
  readonly questionId: string;
  readonly message: RestMessage | null;
  /** Asks again what came to nothing. */
  readonly again: (() => void) | null;
  readonly place: Place;
}

export function AnswerActions({ chat, view, runId, questionId, message, again, place }: AnswerActionsProps): VNode {
  const [commenting, comment] = useState(false);
  const row = useRef<HTMLDivElement>(null);
  const { messageId } = view;
  const parts = seldom.value;
  if (commenting) loadSeldom();
  const ended = !isOpen(view.status);
  const given = messageId === null ? null : chat.messages.feedbackOn(messageId, message);
  const close = (): void => {
    comment(false);
    row.current?.querySelector<HTMLElement>(`[data-testid="thumb-${given?.rating}"]`)?.focus();
  };
  return (
    <div ref={row} class="answer-tools">
      <Toolbar label={words.message.ofAnswer}>
        {ended && view.text !== "" ? <CopyButton class="tool" label={words.message.copy} text={() => view.text} /> : null}
        {ended && messageId !== null ? <Thumbs chat={chat} messageId={messageId} given={given} comment={comment} /> : null}
        {ended ? <Again chat={chat} runId={runId} questionId={questionId} isComplete={view.status === "completed"} again={again} /> : null}
        <BranchSwitcher chat={chat} ids={messageId === null ? runId : `${runId} ${messageId}`} {...place} />
      </Toolbar>
      {commenting && parts && messageId !== null && given ? <parts.FeedbackForm key={given.rating} chat={chat} messageId={messageId} given={given} close={close} /> : null}
    </div>
  );
}

interface AgainProps {
  readonly chat: Chat;
  readonly runId: string;
  readonly questionId: string;
  readonly isComplete: boolean;
  readonly again: (() => void) | null;
}

function Again({ chat, runId, questionId, isComplete, again }: AgainProps): VNode | null {
  const asking = chat.delivery.regenerations.asked.value.has(questionId) || chat.messages.retrying.value.has(runId);
  if (!isComplete && !again) return null;
  const act = again ?? ((): void => chat.messages.regenerate(questionId));
  const label = again ? words.app.tryAgain : words.message.regenerate;
  return (
    <>
      <button type="button" class="tool" data-testid="regenerate" aria-label={label} title={label} aria-disabled={asking} onClick={asking ? undefined : act}>
        {asking ? <Spinner /> : <Icon name="again" />}
      </button>
      {isComplete ? <OtherAgents chat={chat} questionId={questionId} /> : null}
    </>
  );
}

function OtherAgents({ chat, questionId }: { readonly chat: Chat; readonly questionId: string }): VNode | null {
  const agents = chat.agents.offered.value;
  if (agents.length < 2) return null;
  const items = agents.map(({ name }) => ({
    name,
    words: name,
    icon: "people" as const,
    act: () => chat.messages.regenerate(questionId, name),
  }));
  return (
    <Menu label={words.message.regenerateWith} testId="regenerate-with" class="tool narrow" groups={() => [{ words: words.message.regenerateWith, items }]}>
      <Icon name="chevron" />
    </Menu>
  );
}

/** Says that the conversation went on elsewhere. */
export function OlderBranch({ chat }: { readonly chat: Chat }): VNode | null {
  if (!chat.conversation.value.branch.isOlder.value) return null;
  return (
    <p class="older" data-testid="older-branch">
      {words.branch.older}
      <button type="button" class="link" data-testid="show-newest" onClick={() => void chat.messages.chooseNewest()}>
        {words.branch.showNewest}
      </button>
    </p>
  );
}

/** What the keyboard does to the last messages. */
export function useMessageShortcuts(chat: Chat): void {
  useEffect(() => {
    const soon = setTimeout(loadSeldom, SOON_MS);
    return () => clearTimeout(soon);
  }, []);
  useShortcut("editLast", () => chat.messages.editLast());
  useShortcut(
    "editLastHere",
    () => (chat.conversation.value.draft.text.value === "" ? chat.messages.editLast() : false),
    () => document.querySelector<HTMLElement>(".composer textarea"),
  );
  useShortcut("copyLast", () => {
    const text = chat.messages.lastAnswer();
    if (text !== null) void copy(text);
    return text !== null;
  });
}
