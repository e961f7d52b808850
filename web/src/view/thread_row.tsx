import type { TargetedKeyboardEvent, TargetedMouseEvent, VNode } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Chat } from "../chat/chat";
import { addressOf } from "../chat/place";
import { LONGEST_TITLE, type Renaming } from "../chat/thread_actions";
import { marked } from "../chat/thread_search";
import type { ThreadSummary } from "../protocol/frames";
import { inSentence } from "../words/names";
import { format, words } from "../words/words";
import { Icon } from "./icons";
import { memo } from "./memo";
import { Menu, type MenuGroup } from "./menu";

export type ThreadState = "quiet" | "busy" | "waiting" | "news";

interface ThreadRowProps {
  readonly chat: Chat;
  readonly thread: ThreadSummary;
  readonly current: boolean;
  /** By Tab. */
  readonly reachable: boolean;
  readonly state: ThreadState;
  readonly renaming: Renaming | null;
  readonly search: string;
  /** How a message says what was searched for. */
  readonly text: string | undefined;
  readonly show: (threadId: string) => void;
  readonly focus: (threadId: string) => void;
  /** The row goes away: the focus goes to its neighbour. */
  readonly away: (thread: ThreadSummary) => void;
}

export function ThreadRow(props: ThreadRowProps): VNode {
  const { chat, thread, renaming, focus } = props;
  return renaming ? <Rename chat={chat} renaming={renaming} done={() => focus(thread.id)} /> : <Resting {...props} />;
}

function Resting({ chat, thread, current, reachable, state, search, text, show, away }: ThreadRowProps): VNode {
  const title = thread.title || words.app.untitled;
  const tabIndex = reachable ? 0 : -1;
  const groups = (): readonly MenuGroup[] => {
    const archived = thread.archived ?? false;
    const putAway = (): void => {
      away(thread);
      void chat.actions.archive(thread, !archived);
    };
    const remove = (): void => {
      away(thread);
      void chat.actions.delete(thread);
    };
    return [
      {
        items: [
          { name: "rename", words: words.sidebar.rename, icon: "pencil", act: () => chat.actions.startRenaming(thread) },
          archived
            ? { name: "unarchive", words: words.sidebar.unarchiveThread, icon: "unarchive", act: putAway }
            : { name: "archive", words: words.sidebar.archiveThread, icon: "archive", act: putAway },
          { name: "export-md", words: words.sidebar.exportMarkdown, icon: "save", act: () => void chat.exportThread(thread.id, "md") },
          { name: "export-json", words: words.sidebar.exportJson, icon: "save", act: () => void chat.exportThread(thread.id, "json") },
          { name: "delete", words: words.sidebar.delete, icon: "bin", danger: true, act: remove },
        ],
      },
    ];
  };
  return (
    <>
      <ThreadLink thread={thread} title={title} current={current} tabIndex={tabIndex} state={state} search={search} text={text} show={show} />
      <Menu class="round thread-menu" testId="thread-menu" label={words.sidebar.menu(inSentence(title))} groups={groups} tabIndex={tabIndex}>
        <Icon name="more" />
      </Menu>
    </>
  );
}

interface LinkProps extends Pick<ThreadRowProps, "thread" | "current" | "state" | "search" | "text" | "show"> {
  readonly title: string;
  readonly tabIndex: number;
}

const ThreadLink = memo(({ thread, title, current, tabIndex, state, search, text, show }: LinkProps) => {
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
      tabIndex={tabIndex}
      data-testid="thread"
      data-thread-id={thread.id}
      data-busy={state === "busy" || state === "waiting"}
      data-state={state}
      title={format.dateTime(new Date(thread.updated_at))}
      aria-current={current ? "page" : undefined}
      onClick={follow}
    >
      <span class="thread-line">
        <span class="thread-title">
          <Marked text={title} search={search} />
        </span>
        <StateMark state={state} />
      </span>
      {text === undefined ? null : (
        <span class="thread-text" data-testid="thread-match">
          <Marked text={plain(text, search)} search={search} />
        </span>
      )}
    </a>
  );
});

/** In one line, and without the commonest signs of Markdown, unless they are looked for. */
function plain(text: string, search: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  return /[*`]/.test(search) ? line : line.replace(/\*\*|`+/g, "");
}

function StateMark({ state }: { readonly state: ThreadState }): VNode | null {
  if (state === "quiet") return null;
  const label = { busy: words.sidebar.busy, waiting: words.sidebar.waiting, news: words.sidebar.news }[state];
  return <span class={`state ${state}`} role="img" aria-label={label} title={label} />;
}

function Marked({ text, search }: { readonly text: string; readonly search: string }): VNode {
  return <>{marked(text, search).map((piece, at) => (piece.hit ? <mark key={at}>{piece.text}</mark> : piece.text))}</>;
}

interface RenameProps {
  readonly chat: Chat;
  readonly renaming: Renaming;
  readonly done: () => void;
}

/** In the row's place: Enter saves, Escape leaves it, and so does going elsewhere when it is as it was. */
function Rename({ chat, renaming, done }: RenameProps): VNode {
  const [title, setTitle] = useState(renaming.seen);
  const field = useRef<HTMLInputElement>(null);
  const finished = useRef(false);
  useLayoutEffect(() => {
    field.current?.focus();
    field.current?.select();
  }, []);
  useEffect(
    () => () => {
      if (finished.current) done();
    },
    [],
  );
  const pressed = (event: TargetedKeyboardEvent<HTMLInputElement>): void => {
    if (event.isComposing) return;
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault();
    finished.current = true;
    if (event.key === "Enter") void chat.actions.rename(title);
    else chat.actions.cancelRenaming();
  };
  const left = (): void => {
    // A field that is taken away loses the focus, too.
    if (chat.actions.renaming.peek() !== renaming) return;
    finished.current = false;
    // A name that another tab has changed is not overwritten by going elsewhere.
    if (renaming.theirs !== null) chat.actions.cancelRenaming();
    else void chat.actions.rename(title);
  };
  return (
    <div class="rename">
      <input
        ref={field}
        data-testid="rename"
        aria-label={words.sidebar.newTitle}
        autocomplete="off"
        maxLength={LONGEST_TITLE}
        readOnly={renaming.saving}
        value={title}
        onInput={(event) => setTitle(event.currentTarget.value)}
        onKeyDown={pressed}
        onBlur={left}
      />
      {renaming.theirs === null ? null : (
        <p class="rename-note" role="alert" data-testid="rename-note">
          {words.sidebar.overtaken(inSentence(renaming.theirs || words.app.untitled))}
        </p>
      )}
    </div>
  );
}
