import type { VNode } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Chat } from "../chat/chat";
import type { ThreadSummary } from "../protocol/frames";
import { useShortcut } from "../keys/shortcuts";
import { type Block, type Layout, layoutOf, placeOf, type RowGroup, rowsWithin } from "./thread_layout";
import { ThreadRow, type ThreadState } from "./thread_row";

interface ThreadRowsProps {
  readonly chat: Chat;
  readonly groups: readonly RowGroup[];
  /** What was searched for, and how messages say it. */
  readonly search?: { readonly words: string; readonly texts: Readonly<Record<string, string>> };
  readonly show: (threadId: string) => void;
  /** The person has come so far, counted in rows. */
  readonly more: (count: number) => void;
  /** The focus has nowhere to go in the list. */
  readonly leave: () => void;
  readonly foot: VNode | null;
}

const TITLE_REM = 2;
const ROW_REM = { mouse: 2.25, finger: 2.75 };
/** A text, or a word on the title, below the title. */
const TEXT_REM = 2.25;
/** Whether more is wanted is looked at every so many rows. */
const ROWS_A_LOOK = 8;
const BEYOND_PX = 300;

export function ThreadRows({ chat, groups, search, show, more, leave, foot }: ThreadRowsProps): VNode {
  const scroller = useRef<HTMLDivElement>(null);
  const renaming = chat.actions.renaming.value;
  const overtaken = renaming?.theirs == null ? null : renaming.threadId;
  const rem = useRem();
  const layout = useMemo(() => {
    const row = rem * (matchMedia("(pointer: coarse)").matches ? ROW_REM.finger : ROW_REM.mouse);
    const isTall = ({ id }: ThreadSummary): boolean => search?.texts[id] !== undefined || id === overtaken;
    return layoutOf(groups, { title: TITLE_REM * rem, row: (thread) => row + (isTall(thread) ? TEXT_REM * rem : 0) });
  }, [groups, search, rem, overtaken]);
  const view = useView(scroller);
  const current = chat.conversation.value.threadId.value;
  const focus = useRowFocus(scroller, layout, current, TITLE_REM * rem);
  useKeys({ chat, layout, scroller, focus, show, leave });
  useEffect(() => {
    const id = chat.actions.restored.value;
    if (id === null || !layout.threads.some((thread) => thread.id === id)) return;
    chat.actions.restored.value = null;
    // Who has gone on to write is left there.
    if (!document.activeElement?.matches("input, textarea")) focus.to(id);
  }, [chat.actions.restored.value, layout]);
  const inView = Math.ceil((view.top + view.height) / (ROW_REM.mouse * rem));
  useEffect(() => more(inView), [layout, Math.round(inView / ROWS_A_LOOK)]);
  const away = (thread: ThreadSummary): void => {
    const at = layout.threads.findIndex((each) => each.id === thread.id);
    const next = layout.threads[at + 1] ?? layout.threads[at - 1];
    if (next) focus.to(next.id);
    else leave();
  };
  const rowOf = (thread: ThreadSummary): VNode => (
    <ThreadRow
      chat={chat}
      thread={thread}
      current={thread.id === current}
      reachable={thread.id === focus.id}
      state={stateOf(chat, thread.id)}
      renaming={renaming?.threadId === thread.id ? renaming : null}
      search={search?.words ?? ""}
      text={search?.texts[thread.id]}
      show={show}
      focus={focus.to}
      away={away}
    />
  );
  return (
    <div class="threads" ref={scroller} data-testid="thread-list">
      <div class="thread-space" style={{ height: `${layout.height}px` }}>
        {rowsWithin(layout, view.top - BEYOND_PX, view.top + view.height + BEYOND_PX, focus.id).map((block) => (
          <GroupRows key={block.group.key} block={block} row={rowOf} />
        ))}
      </div>
      {foot}
    </div>
  );
}

function stateOf(chat: Chat, id: string): ThreadState {
  if (chat.waitingThreads.value.has(id)) return "waiting";
  if (chat.busyThreads.value.has(id)) return "busy";
  return chat.news.threads.value.has(id) ? "news" : "quiet";
}

interface GroupProps {
  readonly block: Block;
  readonly row: (thread: ThreadSummary) => VNode;
}

function GroupRows({ block: { group, top, height, rows }, row }: GroupProps): VNode {
  const id = `threads-${group.key}`;
  return (
    <section class="thread-group" style={{ top: `${top}px`, height: `${height}px` }} aria-labelledby={id}>
      <h2 id={id} class="thread-group-title">
        {group.title}
      </h2>
      <ul>
        {rows.map((each) => (
          <li
            key={each.thread.id}
            class="thread-row"
            style={{ top: `${each.top}px`, height: `${each.height}px` }}
            aria-setsize={group.threads.length}
            aria-posinset={each.place}
          >
            {row(each.thread)}
          </li>
        ))}
      </ul>
    </section>
  );
}

function useRem(): number {
  const [rem] = useState(() => Number.parseFloat(getComputedStyle(document.documentElement).fontSize) || 16);
  return rem;
}

interface View {
  readonly top: number;
  readonly height: number;
}

/** What part of the scroller is in view. */
function useView(scroller: { readonly current: HTMLElement | null }): View {
  const [view, setView] = useState<View>({ top: 0, height: 800 });
  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const look = (): void => setView({ top: element.scrollTop, height: element.clientHeight });
    const sizes = new ResizeObserver(look);
    sizes.observe(element);
    element.addEventListener("scroll", look, { passive: true });
    look();
    return () => {
      sizes.disconnect();
      element.removeEventListener("scroll", look);
    };
  }, [scroller]);
  return view;
}

interface RowFocus {
  /** The row that Tab goes to. */
  readonly id: string | null;
  readonly to: (id: string) => void;
}

/** One row of the list can be reached by Tab, the arrow keys go to the others. */
function useRowFocus(scroller: { readonly current: HTMLElement | null }, layout: Layout, current: string | null, title: number): RowFocus {
  const [active, setActive] = useState<string | null>(null);
  const wanted = useRef<string | null>(null);
  const inside = useFocusInside(scroller);
  const ids = useMemo(() => new Set(layout.threads.map((thread) => thread.id)), [layout]);
  const id = [active, current].find((each) => each !== null && ids.has(each)) ?? layout.threads[0]?.id ?? null;
  const reveal = (row: string): void => {
    const place = placeOf(layout, row, title);
    const element = scroller.current;
    if (!place || !element) return;
    if (place.top < element.scrollTop) element.scrollTop = place.top;
    else if (place.bottom > element.scrollTop + element.clientHeight) element.scrollTop = place.bottom - element.clientHeight;
  };
  useLayoutEffect(() => {
    // A row that went away and came back, by what another tab did, has lost the focus on its way.
    const row = wanted.current ?? (inside.current && document.activeElement === document.body ? id : null);
    if (row === null) return;
    const element = scroller.current?.querySelector<HTMLElement>(`[data-thread-id="${CSS.escape(row)}"]`);
    if (!element) return;
    wanted.current = null;
    reveal(row);
    element.focus({ preventScroll: true });
  });
  useEffect(() => {
    setActive(null);
    if (current !== null) reveal(current);
  }, [current]);
  const to = (row: string): void => {
    wanted.current = row;
    setActive(row);
  };
  return { id, to };
}

/** Whether the focus is in the element, or was until what had it was taken away. */
function useFocusInside(element: { readonly current: HTMLElement | null }): { readonly current: boolean } {
  const inside = useRef(false);
  useEffect(() => {
    const look = (event: Event): void => {
      inside.current = element.current?.contains(event.target as Node) ?? false;
    };
    const events = ["focusin", "pointerdown"];
    for (const name of events) document.addEventListener(name, look);
    return () => {
      for (const name of events) document.removeEventListener(name, look);
    };
  }, [element]);
  return inside;
}

interface KeysProps {
  readonly chat: Chat;
  readonly layout: Layout;
  readonly scroller: { readonly current: HTMLElement | null };
  readonly focus: RowFocus;
  readonly show: (threadId: string) => void;
  readonly leave: () => void;
}

function useKeys({ chat, layout: { threads }, scroller, focus, show, leave }: KeysProps): void {
  const inside = (): HTMLElement | null => scroller.current;
  const focused = (): ThreadSummary | undefined => {
    const id = document.activeElement?.closest<HTMLElement>("[data-thread-id]")?.dataset["threadId"];
    return threads.find((thread) => thread.id === id);
  };
  const step = (from: string | null, by: number): ThreadSummary | undefined => {
    const at = threads.findIndex((thread) => thread.id === from);
    return at < 0 ? threads[by > 0 ? 0 : -1] : threads[at + by];
  };
  const goTo = (by: number): boolean => {
    // Keys can come faster than the list is drawn.
    const thread = step(chat.conversation.peek().threadId.peek(), by);
    if (thread) show(thread.id);
    return thread !== undefined;
  };
  useShortcut("previous", () => goTo(-1));
  useShortcut("next", () => goTo(1));
  useShortcut(
    "move",
    (event) => {
      const from = focused();
      const next = from && step(from.id, event.key === "ArrowDown" ? 1 : -1);
      if (next) focus.to(next.id);
      return from !== undefined;
    },
    inside,
  );
  useShortcut(
    "rename",
    () => {
      const thread = focused();
      if (thread) chat.actions.startRenaming(thread);
      return thread !== undefined;
    },
    inside,
  );
  useShortcut(
    "delete",
    () => {
      const thread = focused();
      if (!thread) return false;
      const next = step(thread.id, 1) ?? step(thread.id, -1);
      if (next) focus.to(next.id);
      else leave();
      void chat.actions.delete(thread);
      return true;
    },
    inside,
  );
}
