import type { RefObject, TargetedKeyboardEvent, VNode } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Application } from "../application";
import type { Chat } from "../chat/chat";
import { type Group, groupsOf } from "../chat/groups";
import { LONGEST_SEARCH } from "../chat/thread_search";
import type { ThreadList } from "../chat/thread_list";
import type { ThreadSummary } from "../protocol/frames";
import { useShortcut } from "../keys/shortcuts";
import { format, words } from "../words/words";
import { Icon, Mark } from "./icons";
import { PersonMenu } from "./person_menu";
import type { RowGroup } from "./thread_layout";
import { ThreadRows } from "./thread_rows";
import { errorSentence } from "./wording";

interface SidebarProps {
  readonly application: Application;
  readonly chat: Chat;
  /** On a small screen it lies over the page while it is open. */
  readonly drawer: "none" | "open" | "closed";
  readonly close: () => void;
  /** A thread was chosen, or a new conversation. */
  readonly show: (threadId: string | null) => void;
  /** Open it, where it is a drawer. */
  readonly reveal: () => void;
}

export function Sidebar({ application, chat, drawer, close, show, reveal }: SidebarProps): VNode {
  const field = useRef<HTMLInputElement>(null);
  const newChat = useRef<HTMLButtonElement>(null);
  const [archived, setArchived] = useState(false);
  useShortcut("search", () => {
    field.current?.select();
    if (document.activeElement === field.current) return;
    reveal();
    // A drawer that opens takes the focus first.
    requestAnimationFrame(() => field.current?.select());
  });
  useShortcut("newChat", () => show(null));
  const leave = (): void => newChat.current?.focus();
  const isDialog = drawer === "open";
  return (
    <div
      class={isDialog ? "sidebar open" : "sidebar"}
      id="sidebar"
      role={isDialog ? "dialog" : "complementary"}
      aria-modal={isDialog ? true : undefined}
      aria-label={words.sidebar.label}
    >
      <div class="sidebar-head">
        <span class="brand">
          <Mark />
          {words.app.name}
        </span>
        <button type="button" class="round drawer-only" aria-label={words.sidebar.close} onClick={close}>
          <Icon name="close" />
        </button>
      </div>
      <button type="button" class="new-thread" ref={newChat} data-testid="new-thread" onClick={() => show(null)}>
        <Icon name="plus" />
        {words.sidebar.newChat}
      </button>
      <SearchField chat={chat} field={field} />
      <nav class="thread-nav" aria-label={words.sidebar.threads}>
        {chat.search.query.value.trim() !== "" ? (
          <Results chat={chat} show={show} leave={() => field.current?.focus()} />
        ) : archived ? (
          <Archive chat={chat} show={show} back={() => setArchived(false)} leave={leave} />
        ) : (
          <Listed chat={chat} list={chat.list} show={show} leave={leave} empty={words.sidebar.none} />
        )}
      </nav>
      {archived ? null : (
        <button type="button" class="quiet archive-button" data-testid="show-archive" onClick={() => setArchived(true)}>
          <Icon name="archive" />
          {words.sidebar.archive}
        </button>
      )}
      <div class="sidebar-foot">
        <PersonMenu application={application} chat={chat} />
      </div>
    </div>
  );
}

function SearchField({ chat, field }: { readonly chat: Chat; readonly field: RefObject<HTMLInputElement | null> }): VNode {
  const { query } = chat.search;
  const clear = (): void => {
    chat.search.clear();
    field.current?.focus();
  };
  const pressed = (event: TargetedKeyboardEvent<HTMLInputElement>): void => {
    if (event.isComposing) return;
    if (event.key === "Escape" && query.value !== "") {
      event.preventDefault();
      clear();
    } else if (event.key === "ArrowDown") {
      event.preventDefault();
      document.querySelector<HTMLElement>('.thread-nav .thread[tabindex="0"]')?.focus();
    }
  };
  return (
    <div class="search" role="search">
      <Icon name="search" />
      <input
        ref={field}
        type="text"
        inputMode="search"
        enterkeyhint="search"
        data-testid="search"
        aria-label={words.search.label}
        placeholder={words.search.placeholder}
        autocomplete="off"
        spellcheck={false}
        maxLength={LONGEST_SEARCH}
        value={query.value}
        onInput={(event) => chat.search.type(event.currentTarget.value)}
        onKeyDown={pressed}
      />
      {query.value === "" ? null : (
        <button type="button" class="round" data-testid="clear-search" aria-label={words.search.clear} onClick={clear}>
          <Icon name="close" />
        </button>
      )}
    </div>
  );
}

interface PartProps {
  readonly chat: Chat;
  readonly show: (threadId: string) => void;
  readonly leave: () => void;
}

interface ListedProps extends PartProps {
  readonly list: ThreadList;
  readonly empty: string;
}

/** The threads by day. */
function Listed({ chat, list, show, leave, empty }: ListedProps): VNode {
  const today = useToday();
  const threads = list.threads.value;
  const groups = useMemo(() => byDay(threads, today), [threads, today]);
  const more = (count: number): void => {
    list.inView(count);
    if (list.hasMore.value && count + FETCH_AHEAD > threads.length) void list.more();
  };
  const foot = !list.loaded.value ? <p class="empty">{words.app.loading}</p> : threads.length === 0 ? <p class="empty">{empty}</p> : null;
  return <ThreadRows chat={chat} groups={groups} show={show} more={more} leave={leave} foot={foot} />;
}

const FETCH_AHEAD = 20;

function Archive({ chat, show, back, leave }: PartProps & { readonly back: () => void }): VNode {
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    button.current?.focus();
    // Until it was read once it takes no notices.
    chat.archive.reload().catch(() => {});
  }, [chat]);
  const home = (): void => {
    back();
    leave();
  };
  return (
    <>
      <button type="button" class="quiet" ref={button} data-testid="leave-archive" onClick={home}>
        <Icon name="back" />
        {words.sidebar.back}
      </button>
      <Listed chat={chat} list={chat.archive} show={show} leave={() => button.current?.focus()} empty={words.sidebar.noneArchived} />
    </>
  );
}

function Results({ chat, show, leave }: PartProps): VNode {
  const { found, answered, failure, query } = chat.search;
  const today = useToday();
  const { kept, archived, texts, hasMore } = found.value;
  const asked = answered.value ?? "";
  const groups = useMemo(() => {
    const away = archived.length === 0 ? [] : [{ key: "archived", title: words.search.inArchive, threads: archived }];
    return [...byDay(kept, today), ...away];
  }, [kept, archived, today]);
  const search = useMemo(() => ({ words: asked, texts }), [asked, texts]);
  const count = kept.length + archived.length;
  const isNews = query.value.trim() !== answered.value;
  const said = isNews ? words.search.searching : count === 0 ? words.search.none(asked) : words.search.results(count, hasMore);
  const foot = failure.value ? (
    <p class="empty" role="alert">
      {errorSentence(failure.value.code, failure.value.message)}
      <button type="button" class="link" onClick={() => chat.search.again()}>
        {words.app.tryAgain}
      </button>
    </p>
  ) : null;
  return (
    <>
      <p class="search-state" role="status" data-testid="search-state">
        {failure.value ? "" : said}
      </p>
      <ThreadRows chat={chat} groups={groups} search={search} show={show} more={() => chat.search.more()} leave={leave} foot={foot} />
    </>
  );
}

function byDay(threads: readonly ThreadSummary[], today: Date): RowGroup[] {
  return groupsOf(threads, today).map(({ key, period, threads: each }) => ({ key, title: periodWords(period, today), threads: each }));
}

function periodWords(period: Group["period"], today: Date): string {
  return period.name === "month" ? format.month(period.date, today) : words.sidebar[period.name];
}

const MINUTE_MS = 60_000;

/** Some moment of today: another one after midnight, also when the machine slept. */
function useToday(): Date {
  const [today, setToday] = useState(() => new Date());
  useEffect(() => {
    const look = (): void => setToday((before) => (new Date().toDateString() === before.toDateString() ? before : new Date()));
    const timer = setInterval(look, MINUTE_MS);
    document.addEventListener("visibilitychange", look);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, []);
  return today;
}
