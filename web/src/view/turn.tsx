import type { VNode } from "preact";
import { useState } from "preact/hooks";
import type { Chat } from "../chat/chat";
import type { Place } from "../chat/tree";
import { type Answer, type AnswerView, answerView, type Question, type Turn } from "../chat/turns";
import { isOpen } from "../protocol/frames";
import type { Approval } from "../protocol/run";
import { words } from "../words/words";
import { Activity } from "./activity";
import { ApprovalCard } from "./approval";
import { ErrorCard, TryAgain } from "./error_card";
import { Icon, Spinner } from "./icons";
import { Markdown } from "./markdown";
import { memo } from "./memo";
import { MessageFiles } from "./message_files";
import { AnswerActions, QuestionBody } from "./message_actions";
import { SmallPrint } from "./small_print";
import { phaseOf } from "./step_words";
import { Timeline } from "./timeline";
import { useUnhurried } from "./unhurried";
import { agentsInstead } from "./wording";

interface TurnProps {
  readonly chat: Chat;
  readonly turn: Turn;
  /** Among the turns in view when the conversation opens. */
  readonly latest: boolean;
  /** Nothing follows it. */
  readonly last: boolean;
}

export const TurnView = memo(({ chat, turn, latest, last }: TurnProps) => {
  const { question, answer, questionPlace, answerPlace } = turn;
  return (
    <section class="turn" data-turn={turn.key}>
      {question ? <QuestionView chat={chat} {...question} {...questionPlace} /> : null}
      {answer ? <AnswerMessage key={answer.runId} chat={chat} {...answer} {...answerPlace} questionId={turn.key} latest={latest} last={last} /> : null}
    </section>
  );
});

type QuestionProps = Question & Place & { readonly chat: Chat };

const QuestionView = memo(({ chat, id, content, state, refusal, attachments, ...place }: QuestionProps) => (
  <article class="message question" data-testid="message" data-role="user" data-message-id={id} data-status={state} aria-label={words.question.label}>
    {attachments.length > 0 ? <MessageFiles chat={chat} files={attachments} /> : null}
    <QuestionBody chat={chat} question={{ id, content, state, refusal, attachments }} place={place}>
      <div class="bubble">{content}</div>
    </QuestionBody>
    {state === "sending" ? <p class="sending">{words.question.sending}</p> : null}
    {state === "waiting" ? (
      <p class="sending">
        {words.question.notSent}
        <button type="button" class="link" onClick={() => chat.writing.takeBack(id)}>
          {words.question.takeBack}
        </button>
      </p>
    ) : null}
    {refusal ? (
      <ErrorCard code={refusal.error_code} message={refusal.error_message} retryAfter={refusal.retry_after}>
        <TryAgain act={() => chat.writing.retry(id)} />
        {agentsInstead(chat, refusal).map((agent) => (
          <button type="button" key={agent} data-testid="ask-instead" data-agent={agent} onClick={() => chat.writing.askInstead(id, agent)}>
            {words.question.ask(agent)}
          </button>
        ))}
        <button type="button" data-testid="edit-refused" onClick={() => chat.writing.takeBack(id)}>
          {words.question.edit}
        </button>
      </ErrorCard>
    ) : null}
  </article>
));

interface AnswerProps extends Answer, Place {
  readonly chat: Chat;
  readonly questionId: string;
  readonly latest: boolean;
  readonly last: boolean;
}

const AnswerMessage = memo(({ chat, runId, live, rest, message, questionId, latest, last, ...place }: AnswerProps) => {
  const view = answerView({ runId, live, rest, message });
  const open = isOpen(view.status);
  // What follows a run without an answer would be out of reach beside another one.
  const again = !open && view.status !== "completed" && (last || view.messageId !== null) ? (): void => void chat.messages.retry(runId) : null;
  return (
    <article
      class="message answer-message"
      data-testid="message"
      data-role="assistant"
      data-message-id={view.messageId}
      data-run-id={runId}
      data-status={view.status}
      data-agent={view.agent}
      aria-label={words.answer.label}
      aria-busy={open}
    >
      {view.agent === null ? null : <h2 class="answer-agent">{view.agent}</h2>}
      <Timeline steps={view.steps} approvals={view.approvals} phase={phaseOf(view)} load={chat.toolResult} now={chat.delivery.serverNow} />
      {view.stepsKnown || view.steps.length > 0 ? null : <StepsOnDemand chat={chat} runId={runId} coming={live !== null} />}
      <AnswerText text={view.text} growing={open} latest={latest} />
      {open ? <OpenApprovals chat={chat} runId={runId} view={view} /> : null}
      {open ? <Activity chat={chat} runId={runId} view={view} /> : <Ending view={view} again={again} />}
      <AnswerActions chat={chat} view={view} runId={runId} questionId={questionId} message={message} again={again} place={place} />
    </article>
  );
});

function openApprovals({ approvals }: AnswerView): [string, Approval][] {
  return Object.entries(approvals).filter(([, approval]) => approval.approved === null);
}

function OpenApprovals({ chat, runId, view }: { readonly chat: Chat; readonly runId: string; readonly view: AnswerView }): VNode {
  return (
    <>
      {openApprovals(view).map(([id, approval]) => (
        <ApprovalCard key={id} chat={chat} runId={runId} toolCallId={id} approval={approval} />
      ))}
    </>
  );
}

interface TextProps {
  readonly text: string;
  readonly growing: boolean;
  readonly latest: boolean;
}

/** Older answers are plain text until there is time to read their Markdown. */
function AnswerText({ text, growing, latest }: TextProps): VNode | null {
  const ready = useUnhurried(latest || growing);
  if (text === "") return null;
  if (!ready) return <div class="answer unread">{text}</div>;
  return (
    <div class="answer" data-testid="answer">
      <Markdown text={text} growing={growing} />
    </div>
  );
}

interface StepsProps {
  readonly chat: Chat;
  readonly runId: string;
  /** They are on their way, of the latest answers unasked. */
  readonly coming: boolean;
}

/** The steps of an older answer are fetched when the person wants them. */
function StepsOnDemand({ chat, runId, coming }: StepsProps): VNode {
  const [asked, ask] = useState(false);
  if (coming && !asked) return <></>;
  if (chat.delivery.unavailable.value.has(runId)) return asked ? <p class="steps-gone">{words.steps.gone}</p> : <></>;
  const show = (): void => {
    ask(true);
    chat.conversation.value.showSteps(runId);
  };
  return (
    <button type="button" class="steps-button" data-testid="show-steps" onClick={show} disabled={asked}>
      {asked ? <Spinner /> : <Icon name="chevron" />}
      {words.steps.label}
    </button>
  );
}

interface EndingProps {
  readonly view: AnswerView;
  readonly again: (() => void) | null;
}

function Ending({ view, again }: EndingProps): VNode {
  return (
    <>
      {view.error ? (
        <ErrorCard code={view.error.code} message={view.error.message} correlationId={view.error.correlationId}>
          {again ? (
            <button type="button" data-testid="retry" onClick={again}>
              {words.app.tryAgain}
            </button>
          ) : null}
        </ErrorCard>
      ) : null}
      <SmallPrint view={view} />
    </>
  );
}
