import { useSignalEffect } from "@preact/signals";
import type { VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Application } from "../application";
import type { Chat } from "../chat/chat";
import { words } from "../words/words";
import { Announcer } from "./announcer";
import { ConversationView } from "./conversation";
import { Icon } from "./icons";
import { Sidebar } from "./sidebar";
import { SignIn } from "./sign_in";

export function App({ application }: { readonly application: Application }): VNode {
  const screen = application.screen.value;
  switch (screen.name) {
    case "starting":
      return <p class="starting">{screen.unreachable ? words.app.unreachable : words.app.loading}</p>;
    case "sign-in":
      return <SignIn application={application} />;
    case "chat":
      return <ChatScreen application={application} chat={screen.chat} />;
  }
}

function ChatScreen({ application, chat }: { readonly application: Application; readonly chat: Chat }): VNode {
  const [drawer, setDrawer] = useState(false);
  const close = (): void => setDrawer(false);
  useEffect(() => {
    const escape = (event: KeyboardEvent): void => {
      if (event.key === "Escape") setDrawer(false);
    };
    addEventListener("keydown", escape);
    return () => removeEventListener("keydown", escape);
  }, []);
  useSignalEffect(() => {
    document.title = words.app.title(chat.title.value ?? words.app.untitled);
  });
  return (
    <div class="frame">
      <Sidebar application={application} chat={chat} open={drawer} close={close} />
      {drawer ? <div class="scrim" onClick={close} /> : null}
      <main class="conversation">
        <header class="top-bar">
          <button type="button" class="round" aria-label={words.sidebar.open} aria-expanded={drawer} aria-controls="sidebar" onClick={() => setDrawer(true)}>
            <Icon name="menu" />
          </button>
          <h1>{chat.title.value ?? words.app.untitled}</h1>
          <button type="button" class="round" aria-label={words.sidebar.newChat} onClick={() => chat.open(null)}>
            <Icon name="plus" />
          </button>
        </header>
        <ConversationView chat={chat} />
      </main>
      <Announcer />
    </div>
  );
}
