import { useSignalEffect } from "@preact/signals";
import type { VNode } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Application } from "../application";
import type { Chat } from "../chat/chat";
import { useShortcut } from "../keys/shortcuts";
import { inSentence } from "../words/names";
import { words } from "../words/words";
import { EntranceScreen } from "./account/entrance";
import { Announcer } from "./announcer";
import { ConversationView } from "./conversation";
import { Icon } from "./icons";
import { useMedia } from "./media";
import { SettingsLayer, useFocusKept } from "./settings_layer";
import { ShortcutSheet } from "./shortcut_sheet";
import { Sidebar } from "./sidebar";
import { ThreadUsageButton } from "./thread_usage";
import { ToastRegion } from "./toast";

export function App({ application }: { readonly application: Application }): VNode {
  const screen = application.screen.value;
  switch (screen.name) {
    case "starting":
      return <p class="starting">{screen.unreachable ? words.app.unreachable : words.app.loading}</p>;
    case "entrance":
      return <EntranceScreen application={application} />;
    case "chat":
      return <ChatScreen application={application} chat={screen.chat} />;
  }
}

function ChatScreen({ application, chat }: { readonly application: Application; readonly chat: Chat }): VNode {
  const main = useRef<HTMLElement>(null);
  const small = useMedia("(max-width: 48rem)");
  const { drawer, open, close } = useDrawer(small);
  const show = (threadId: string | null): void => {
    chat.open(threadId);
    if (drawer === "open") close(main.current);
  };
  const covered = chat.settings.shown.value !== null;
  useFocusKept(covered);
  useTabTitle(chat);
  useShortcuts(chat);
  const threadId = chat.conversation.value.threadId.value;
  const title = chat.title.value ?? words.app.untitled;
  return (
    <>
      <div class="frame" inert={covered}>
        <a class="skip" href="#conversation" onClick={(event) => (event.preventDefault(), main.current?.focus())}>
          {words.app.skip}
        </a>
        <Sidebar application={application} chat={chat} drawer={drawer} close={() => close()} show={show} reveal={open} />
        {drawer === "open" ? <div class="scrim" onClick={() => close()} /> : null}
        <main class="conversation" id="conversation" ref={main} tabIndex={-1} inert={drawer === "open"}>
          <header class="top-bar">
            <button type="button" class="round drawer-only" data-testid="open-drawer" aria-label={words.sidebar.open} aria-expanded={drawer === "open"} aria-controls="sidebar" onClick={open}>
              <Icon name="menu" />
            </button>
            <h1>{title}</h1>
            {threadId === null ? null : <ThreadUsageButton key={threadId} chat={chat} threadId={threadId} />}
            <button type="button" class="round drawer-only" aria-label={words.sidebar.newChat} onClick={() => chat.open(null)}>
              <Icon name="plus" />
            </button>
          </header>
          <ConversationView chat={chat} />
        </main>
      </div>
      <SettingsLayer application={application} chat={chat} />
      <ToastRegion chat={chat} />
      <Announcer />
      <ShortcutSheet />
    </>
  );
}

interface Drawer {
  readonly drawer: "none" | "open" | "closed";
  readonly open: () => void;
  /** `to` gets the focus; what had it before is the default. */
  readonly close: (to?: HTMLElement | null) => void;
}

/** On a small screen the sidebar lies over the page. While it does, it has the focus, and nothing else can get it. */
function useDrawer(small: boolean): Drawer {
  const [wanted, want] = useState(false);
  const before = useRef<HTMLElement | null>(null);
  const next = useRef<HTMLElement | null>(null);
  const drawer = !small ? "none" : wanted ? "open" : "closed";
  useLayoutEffect(() => {
    if (drawer !== "open") {
      // The page is no longer inert.
      next.current?.focus({ preventScroll: true });
      next.current = null;
      return;
    }
    document.querySelector<HTMLElement>("#sidebar .drawer-only")?.focus();
    const escape = (event: KeyboardEvent): void => {
      if (event.key !== "Escape" || event.defaultPrevented) return;
      event.preventDefault();
      close();
    };
    document.addEventListener("keydown", escape);
    return () => document.removeEventListener("keydown", escape);
  }, [drawer]);
  const open = (): void => {
    before.current = document.activeElement as HTMLElement | null;
    want(true);
  };
  const close = (to: HTMLElement | null = before.current): void => {
    next.current = to;
    want(false);
  };
  return { drawer, open, close };
}

/** What the tab says: how many conversations have an answer that nobody has seen. */
function useTabTitle(chat: Chat): void {
  const [hidden, setHidden] = useState(document.hidden);
  useEffect(() => {
    const look = (): void => setHidden(document.hidden);
    const stored = (event: StorageEvent): void => chat.news.stored(event, chat.seen(document.hidden));
    document.addEventListener("visibilitychange", look);
    addEventListener("storage", stored);
    return () => {
      document.removeEventListener("visibilitychange", look);
      removeEventListener("storage", stored);
    };
  }, [chat]);
  useSignalEffect(() => {
    chat.lookForNews(document.hidden);
  });
  useEffect(() => chat.lookForNews(hidden), [chat, hidden]);
  useSignalEffect(() => {
    const place = chat.settings.shown.value ? words.settings.title : inSentence(chat.title.value ?? words.app.untitled);
    document.title = words.app.title(place, chat.news.threads.value.size);
  });
}

/** Actions of the page as a whole. Those of a part are offered where it is shown. */
function useShortcuts(chat: Chat): void {
  useShortcut("compose", () => {
    const field = composer();
    if (!field || field === document.activeElement) return false;
    field.focus();
    // While a drawer is open it cannot have the focus.
    return field === document.activeElement;
  });
  useShortcut("stop", () => {
    const [runId] = chat.conversation.value.openRunIds.value;
    if (runId !== undefined) chat.delivery.stopRun(runId);
    return runId !== undefined;
  });
}

function composer(): HTMLElement | null {
  return document.querySelector<HTMLElement>(".composer textarea");
}
