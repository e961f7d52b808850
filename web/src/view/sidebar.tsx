import type { TargetedMouseEvent, VNode } from "preact";
import type { Application } from "../application";
import type { Chat } from "../chat/chat";
import { addressOf } from "../chat/place";
import type { ThreadSummary } from "../protocol/frames";
import { words } from "../words/words";
import { Icon, Mark } from "./icons";

interface SidebarProps {
  readonly application: Application;
  readonly chat: Chat;
  readonly open: boolean;
  readonly close: () => void;
}

export function Sidebar({ application, chat, open, close }: SidebarProps): VNode {
  const show = (threadId: string | null): void => {
    chat.open(threadId);
    close();
  };
  return (
    <aside class={open ? "sidebar open" : "sidebar"} id="sidebar" aria-label={words.sidebar.label}>
      <div class="sidebar-head">
        <span class="brand">
          <Mark />
          {words.app.name}
        </span>
        <button type="button" class="round drawer-only" aria-label={words.sidebar.close} onClick={close}>
          <Icon name="close" />
        </button>
      </div>
      <button type="button" class="new-thread" data-testid="new-thread" onClick={() => show(null)}>
        <Icon name="plus" />
        {words.sidebar.newChat}
      </button>
      <ThreadNav chat={chat} show={show} />
      <div class="sidebar-foot">
        <span class="person" data-testid="user">
          {chat.me.username}
        </span>
        <button type="button" class="round" data-testid="sign-out" aria-label={words.sidebar.signOut} title={words.sidebar.signOut} onClick={() => void application.signOut()}>
          <Icon name="leave" />
        </button>
      </div>
    </aside>
  );
}

function ThreadNav({ chat, show }: { readonly chat: Chat; readonly show: (threadId: string) => void }): VNode {
  const current = chat.conversation.value.threadId.value;
  const threads = chat.list.threads.value;
  const stateOf = (id: string): ThreadState =>
    chat.waitingThreads.value.has(id) ? "waiting" : chat.busyThreads.value.has(id) ? "busy" : "quiet";
  return (
    <nav class="threads" aria-label={words.sidebar.threads}>
      <ul data-testid="thread-list">
        {threads.map((thread) => (
          <li key={thread.id}>
            <ThreadLink thread={thread} current={thread.id === current} state={stateOf(thread.id)} show={show} />
          </li>
        ))}
      </ul>
      {chat.list.hasMore.value ? (
        <button type="button" class="link more" onClick={() => void chat.list.more().catch(() => {})}>
          {words.sidebar.more}
        </button>
      ) : null}
      {chat.list.loaded.value && threads.length === 0 ? <p class="empty">{words.sidebar.none}</p> : null}
    </nav>
  );
}

type ThreadState = "quiet" | "busy" | "waiting";

interface ThreadLinkProps {
  readonly thread: ThreadSummary;
  readonly current: boolean;
  readonly state: ThreadState;
  readonly show: (threadId: string) => void;
}

function ThreadLink({ thread, current, state, show }: ThreadLinkProps): VNode {
  const follow = (event: TargetedMouseEvent<HTMLAnchorElement>): void => {
    // With a modifier the browser opens it in a tab of its own.
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    show(thread.id);
  };
  return (
    <a
      class="thread"
      href={addressOf(thread.id)}
      data-testid="thread"
      data-thread-id={thread.id}
      data-busy={state !== "quiet"}
      aria-current={current ? "page" : undefined}
      onClick={follow}
    >
      <span class="thread-title">{thread.title || words.app.untitled}</span>
      {state === "busy" ? <span class="busy" role="img" aria-label={words.sidebar.busy} /> : null}
      {state === "waiting" ? <span class="busy waiting" role="img" aria-label={words.sidebar.waiting} title={words.sidebar.waiting} /> : null}
    </a>
  );
}
