import type { TargetedSubmitEvent, VNode } from "preact";
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Chat } from "../chat/chat";
import type { Decision } from "../chat/decisions";
import type { Approval } from "../protocol/run";
import { words } from "../words/words";
import { Icon, Spinner } from "./icons";
import { memo } from "./memo";
import { toolWords } from "./step_words";
import { errorSentence, timeLeft, visible } from "./wording";

interface ApprovalCardProps {
  readonly chat: Chat;
  readonly runId: string;
  readonly toolCallId: string;
  readonly approval: Approval;
}

/** A tool waits for the person: who wants to run it, with exactly what, and the answer to it. */
export const ApprovalCard = memo(({ chat, runId, toolCallId, approval }: ApprovalCardProps) => {
  const card = useRef<HTMLElement>(null);
  const title = useId();
  const { whole, read } = useWhole(chat, toolCallId, approval);
  useFocusHandedOn(card);
  const [over, setOver] = useState(false);
  const decision = chat.delivery.decisions.of(runId, toolCallId);
  // The button that was pressed goes away: the card keeps the focus.
  const stay = (): void => card.current?.focus({ preventScroll: true });
  const decide = (approved: boolean, reason = ""): void => {
    stay();
    chat.delivery.decisions.decide(runId, toolCallId, approved, reason);
  };
  return (
    <section class="approval" ref={card} tabIndex={-1} aria-labelledby={title} data-testid="approval" data-tool={approval.tool} data-call={toolCallId}>
      <header class="approval-head">
        <Icon name="hand" />
        <h3 id={title}>
          {words.approval.request(<b>{visible(approval.agent)}</b>, <b>{visible(toolWords(approval.tool))}</b>)}
          <code class="tool-name">{visible(approval.tool)}</code>
        </h3>
        <TimeLeft chat={chat} approval={approval} over={() => setOver(true)} />
      </header>
      <Arguments given={whole.state === "known" ? whole.value : approval.arguments} />
      {whole.state === "known" ? null : (
        <p class="approval-error" role="status">
          {whole.state === "reading" ? words.approval.restLoading : words.approval.restFailed}
          {whole.state === "failed" ? (
            <button type="button" class="link" onClick={read}>
              {words.app.tryAgain}
            </button>
          ) : null}
        </p>
      )}
      {decision && decision.state !== "refused" ? <Answering chat={chat} decision={decision} /> : <Answer decide={decide} stay={stay} seen={whole.state === "known"} over={over} />}
      {decision?.refusal ? (
        <p class="approval-error" role="alert">
          {errorSentence(decision.refusal.error_code, decision.refusal.error_message)}
        </p>
      ) : null}
    </section>
  );
});

type Whole = { readonly state: "reading" | "failed" } | { readonly state: "known"; readonly value: unknown };

/** What is approved must be seen: of arguments that are too large for an event the rest is loaded. */
function useWhole(
  chat: Chat,
  toolCallId: string,
  { arguments: given, truncated }: Approval,
): { readonly whole: Whole; readonly read: () => void } {
  const [whole, setWhole] = useState<Whole>(truncated ? { state: "reading" } : { state: "known", value: given });
  const read = (): void => {
    if (!truncated) return;
    setWhole({ state: "reading" });
    chat.approvalArguments(truncated.href, toolCallId).then(
      (value) => setWhole({ state: "known", value }),
      () => setWhole({ state: "failed" }),
    );
  };
  useEffect(read, [truncated?.href, toolCallId]);
  return { whole, read };
}

function Arguments({ given }: { readonly given: unknown }): VNode {
  if (typeof given !== "object" || given === null) return <Argument text={String(given)} />;
  const entries = Object.entries(given);
  if (entries.length === 0) return <p class="approval-none">{words.approval.noArguments}</p>;
  return (
    <dl class="arguments" data-testid="approval-arguments">
      {entries.map(([name, value]) => (
        <div key={name}>
          <dt>{visible(name)}</dt>
          <dd>
            <Argument text={typeof value === "string" ? value : JSON.stringify(value, null, 2)} />
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Argument({ text }: { readonly text: string }): VNode {
  return (
    <pre class="argument" data-empty={words.approval.empty}>
      {visible(text)}
    </pre>
  );
}

interface AnswerProps {
  readonly decide: (approved: boolean, reason?: string) => void;
  readonly stay: () => void;
  /** All that it is about can be seen. */
  readonly seen: boolean;
  /** Nobody has answered in time: the server is about to say so. */
  readonly over: boolean;
}

function Answer({ decide, stay, seen, over }: AnswerProps): VNode {
  const [explaining, explain] = useState(false);
  const back = (): void => {
    stay();
    explain(false);
  };
  if (explaining) return <Denial deny={(reason) => decide(false, reason)} back={back} />;
  return (
    <p class="approval-actions">
      <button type="button" class="primary" data-testid="approve" disabled={!seen || over} onClick={() => decide(true)}>
        {words.approval.approve}
      </button>
      <button type="button" data-testid="deny" disabled={over} onClick={() => decide(false)}>
        {words.approval.deny}
      </button>
      <button type="button" class="link" data-testid="deny-with-reason" onClick={() => explain(true)}>
        {words.approval.denyWithReason}
      </button>
    </p>
  );
}

const LONGEST_REASON = 1000;

function Denial({ deny, back }: { readonly deny: (reason: string) => void; readonly back: () => void }): VNode {
  const [reason, setReason] = useState("");
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);
  const submit = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    deny(reason.trim());
  };
  return (
    <form class="approval-actions" onSubmit={submit}>
      <input
        ref={field}
        class="approval-reason"
        data-testid="deny-reason"
        aria-label={words.approval.whyNot}
        placeholder={words.approval.whyNot}
        autocomplete="off"
        maxLength={LONGEST_REASON}
        value={reason}
        onInput={(event) => setReason(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== "Escape") return;
          event.preventDefault();
          back();
        }}
      />
      <button type="submit" data-testid="deny">
        {words.approval.deny}
      </button>
      <button type="button" class="link" onClick={back}>
        {words.approval.back}
      </button>
    </form>
  );
}

function Answering({ chat, decision }: { readonly chat: Chat; readonly decision: Decision }): VNode {
  const offline = chat.delivery.connection.value.phase !== "connected";
  return (
    <p class="approval-actions" role="status" data-testid="approval-sending">
      <Spinner />
      {decision.approved ? words.approval.approving : words.approval.denying}
      {offline ? ` ${words.approval.sentLater}` : ""}
    </p>
  );
}

/** It does not speak: a screen reader would read every second. */
function TimeLeft({ chat, approval, over }: { readonly chat: Chat; readonly approval: Approval; readonly over: () => void }): VNode {
  const end = Date.parse(approval.asked_at) + approval.expires_in * 1000;
  const [now, setNow] = useState(chat.delivery.serverNow);
  useEffect(() => {
    const timer = setInterval(() => setNow(chat.delivery.serverNow()), 1000);
    return () => clearInterval(timer);
  }, [chat]);
  const isOver = now >= end;
  useEffect(() => {
    if (isOver) over();
  }, [isOver]);
  return (
    <span class="approval-time" data-testid="approval-time">
      {timeLeft(end - now)}
    </span>
  );
}

/** When the card goes, answered here or elsewhere, and had the focus, the next card gets it, or where the person writes. */
function useFocusHandedOn(card: { readonly current: HTMLElement | null }): void {
  useLayoutEffect(() => {
    const element = card.current;
    return () => {
      if (element?.contains(document.activeElement)) queueMicrotask(() => handOn(element));
    };
  }, [card]);
}

function handOn(gone: HTMLElement): void {
  const cards = [...document.querySelectorAll<HTMLElement>(".approval")].filter((card) => card !== gone);
  // On a touch screen the focus would open the keyboard over the conversation.
  const writing = matchMedia("(pointer: fine)").matches ? document.querySelector<HTMLElement>(".composer textarea") : null;
  (cards[0] ?? writing)?.focus({ preventScroll: cards.length === 0 });
}
