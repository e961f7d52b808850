import { useSignalEffect } from "@preact/signals";
import type { RefObject, VNode } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Chat } from "../chat/chat";
import type { Conversation } from "../chat/conversation";
import { type AnswerView, answerView, type Turn } from "../chat/turns";
import { isOpen } from "../protocol/frames";
import { words } from "../words/words";
import { announce } from "./announcer";
import { Composer } from "./composer";
import { ConnectionLine } from "./connection_line";
import { DropZone } from "./drop_zone";
import { ErrorCard } from "./error_card";
import { FileViewer } from "./file_viewer";
import { Follow } from "./follow";
import { OlderBranch, useMessageShortcuts } from "./message_actions";
import { Queue } from "./queue";
import { seldom } from "./seldom_loaded";
import { ToEnd } from "./to_end";
import { TurnView } from "./turn";
import { isWriting, outcome } from "./step_words";
import { Welcome } from "./welcome";
import { activity, approvalWords } from "./wording";

/** As many turns as may be in view when a conversation opens at its end. */
const TURNS_AT_ONCE = 4;

export function ConversationView({ chat }: { readonly chat: Chat }): VNode {
  const conversation = chat.conversation.value;
  return <OpenConversation key={conversation.key} chat={chat} conversation={conversation} />;
}

interface OpenProps {
  readonly chat: Chat;
  readonly conversation: Conversation;
}

function OpenConversation({ chat, conversation }: OpenProps): VNode {
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const [pinned, setPinned] = useState(true);
  const parts = seldom.value;
  const follow = useRef<Follow | null>(null);
  useLayoutEffect(() => {
    if (!scroller.current || !content.current) return;
    const following = new Follow(scroller.current, content.current, setPinned);
    follow.current = following;
    return () => following.close();
  }, []);
  useAnnouncements(conversation);
  useMessageShortcuts(chat);
  useSignalEffect(() => {
    const { value } = conversation.attention;
    if (value?.atEnd) follow.current?.pin();
    else if (value) follow.current?.release();
  });
  const send = (interrupts: boolean): boolean => {
    if (!chat.writing.sendDraft(interrupts)) return false;
    follow.current?.pin();
    return true;
  };
  return (
    <>
      <div class="scroller" ref={scroller} tabIndex={-1}>
        <div class="column" ref={content}>
          <History chat={chat} conversation={conversation} scroller={scroller} />
        </div>
      </div>
      <div class="dock">
        {pinned ? null : <ToEnd conversation={conversation} pin={() => follow.current?.pin()} />}
        <PageNotice chat={chat} />
        <Queue chat={chat} waiting={conversation.parted.value.waiting} />
        <OlderBranch chat={chat} />
        {parts ? <parts.AllowanceLine chat={chat} /> : null}
        <Composer chat={chat} conversation={conversation} send={send} />
        <ConnectionLine chat={chat} />
      </div>
      <DropZone chat={chat} draft={conversation.draft} />
      <FileViewer chat={chat} />
    </>
  );
}

function History({ chat, conversation, scroller }: OpenProps & { readonly scroller: RefObject<HTMLDivElement | null> }): VNode {
  const turns = conversation.loaded.value ? conversation.parted.value.shown : [];
  useSteadyTop(turns, scroller);
  const failure = conversation.failure.value;
  if (failure) {
    return (
      <ErrorCard code={failure.code} message={failure.message} correlationId={failure.correlationId}>
        <button type="button" data-testid="retry" onClick={() => void conversation.load()}>
          {words.app.tryAgain}
        </button>
        <button type="button" onClick={() => chat.open(null)}>
          {words.sidebar.newChat}
        </button>
      </ErrorCard>
    );
  }
  if (!conversation.loaded.value) return <p class="loading">{words.app.loading}</p>;
  if (turns.length === 0) return <Welcome chat={chat} />;
  return (
    <>
      {conversation.branch.earlier.value === null ? null : <Earlier conversation={conversation} scroller={scroller} />}
      {turns.map((turn, place) => (
        <TurnView key={turn.key} chat={chat} turn={turn} latest={place >= turns.length - TURNS_AT_ONCE} last={place === turns.length - 1} />
      ))}
    </>
  );
}

/** Loads the page before when it comes near. */
function Earlier({ conversation, scroller }: { readonly conversation: Conversation; readonly scroller: RefObject<HTMLDivElement | null> }): VNode {
  const mark = useRef<HTMLButtonElement>(null);
  const earlier = conversation.branch.earlier.value;
  useEffect(() => {
    if (!mark.current) return;
    const near = new IntersectionObserver(
      (entries) => {
        if (entries.some((entry) => entry.isIntersecting)) void conversation.loadOlder();
      },
      { root: scroller.current, rootMargin: "600px 0px 0px" },
    );
    near.observe(mark.current);
    return () => near.disconnect();
  }, [conversation, earlier, scroller]);
  return (
    <button type="button" class="earlier" ref={mark} onClick={() => void conversation.loadOlder()}>
      {words.conversation.earlier}
    </button>
  );
}

/** What is in view stays where it is when earlier turns come in above it. */
function useSteadyTop(turns: readonly Turn[], scroller: RefObject<HTMLDivElement | null>): void {
  const first = useRef<string | null>(null);
  const place = useRef<{ readonly element: Element; readonly top: number } | null>(null);
  const key = turns[0]?.key ?? null;
  if (first.current !== null && first.current !== key) {
    const element = scroller.current?.querySelector(`[data-turn="${CSS.escape(first.current)}"]`);
    place.current = element ? { element, top: element.getBoundingClientRect().top } : null;
  }
  first.current = key;
  useLayoutEffect(() => {
    if (!place.current || !scroller.current) return;
    const { element, top } = place.current;
    place.current = null;
    if (element.isConnected) scroller.current.scrollTop += element.getBoundingClientRect().top - top;
  }, [key, scroller]);
}

function PageNotice({ chat }: { readonly chat: Chat }): VNode | null {
  const notice = chat.notice.value;
  if (!notice) return null;
  return (
    <ErrorCard code={notice.code} message={notice.message} retryAfter={notice.retryAfter}>
      <button type="button" onClick={() => (chat.notice.value = null)}>
        {words.app.dismiss}
      </button>
    </ErrorCard>
  );
}

/** Says what the newest answer has come to, once for each state and never for its text. */
function useAnnouncements(conversation: Conversation): void {
  const said = useRef<{ readonly runId: string; readonly words: string } | null>(null);
  useSignalEffect(() => {
    const answer = conversation.parted.value.shown.at(-1)?.answer;
    if (!answer) return;
    const words = stateWords(answerView(answer));
    const before = said.current;
    said.current = { runId: answer.runId, words };
    // An answer that was there when the page opened, or the person turned to it, is no news.
    const known = before?.runId === answer.runId;
    if (known ? words !== before.words : isOpen(answerView(answer).status)) announce(words);
  });
}

function stateWords(view: AnswerView): string {
  const doing = approvalWords(view) ?? activity(view, isWriting(view));
  if (doing !== null) return doing;
  if (view.status === "failed") return words.conversation.failed;
  return outcome(view) ?? words.conversation.complete;
}
