// A file of its own, settings.js, which takes from app.js what it shares with the rest of the page.
import type { RefObject, TargetedMouseEvent, VNode } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import type { Application } from "../../application";
import type { Chat } from "../../chat/chat";
import { addressOfSettings, type Section, SECTIONS } from "../../chat/settings_place";
import { SHORTCUTS } from "../../keys/shortcuts";
import "../../style/settings.css";
import { settingsWords } from "../../words/settings_words";
import { words } from "../../words/words";
import { Icon, type IconName } from "../icons";
import { Keys } from "../key_caps";
import { useMedia } from "../media";
import { About } from "./about";
import { Account } from "./account";
import { Data } from "./data";
import { General } from "./general";
import { NoteSection } from "./notes";
import { UsageSection } from "./usage";

export interface SectionProps {
  readonly application: Application;
  readonly chat: Chat;
}

const PARTS: Readonly<Record<Section, { readonly icon: IconName; readonly view: (props: SectionProps) => VNode }>> = {
  general: { icon: "gear", view: General },
  notes: { icon: "note", view: NoteSection },
  usage: { icon: "chart", view: UsageSection },
  data: { icon: "save", view: Data },
  account: { icon: "person", view: Account },
  about: { icon: "about", view: About },
};

/** Sections beside their list; on a small screen the list, and each section in its place. */
export function SettingsPage({ application, chat, close }: SectionProps & { readonly close: () => void }): VNode {
  const { section } = chat.settings.shown.value ?? { section: null };
  const small = useMedia("(max-width: 48rem)");
  const title = useRef<HTMLHeadingElement>(null);
  const body = useRef<HTMLDivElement>(null);
  // What is new on a small screen takes the focus: the link that led to it is gone.
  useLayoutEffect(() => title.current?.focus({ preventScroll: true }), [small ? section : null]);
  useLayoutEffect(() => body.current?.scrollTo(0, 0), [section]);
  const shown = section ?? "general";
  const View = PARTS[shown].view;
  const isList = small && section === null;
  const isPage = small && section !== null;
  return (
    <main class="settings" data-testid="settings" aria-labelledby="settings-title">
      <header class="settings-head">
        {isPage ? (
          <button type="button" class="round" data-testid="settings-up" aria-label={settingsWords.up} onClick={() => chat.settings.up()}>
            <Icon name="back" />
          </button>
        ) : null}
        <h1 id="settings-title" class={isPage ? "visually-hidden" : undefined} ref={isPage ? null : title} tabIndex={-1}>
          {words.settings.title}
        </h1>
        {isPage ? <SectionTitle shown={shown} title={title} /> : null}
        <span class="settings-keys" aria-hidden="true">
          <Keys keys={SHORTCUTS.leave.keys[0]} />
        </span>
        <button type="button" class="round" data-testid="settings-close" aria-label={words.settings.close} onClick={close}>
          <Icon name="close" />
        </button>
      </header>
      <div class="settings-body" ref={body}>
        {isPage ? null : <SectionList chat={chat} shown={isList ? null : shown} />}
        {isList ? null : (
          <section key={shown} class="settings-section" data-testid={`section-${shown}`} aria-labelledby="section-title">
            {small ? null : <SectionTitle shown={shown} />}
            <View application={application} chat={chat} />
          </section>
        )}
      </div>
    </main>
  );
}

function SectionTitle({ shown, title = null }: { readonly shown: Section; readonly title?: RefObject<HTMLHeadingElement | null> | null }): VNode {
  return (
    <h2 id="section-title" ref={title} tabIndex={title ? -1 : undefined}>
      {settingsWords.sections[shown]}
    </h2>
  );
}

function SectionList({ chat, shown }: { readonly chat: Chat; readonly shown: Section | null }): VNode {
  const follow = (event: TargetedMouseEvent<HTMLAnchorElement>, section: Section): void => {
    // With a modifier the browser opens it in a tab of its own.
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    chat.settings.go(section);
  };
  return (
    <nav class="settings-nav" aria-label={settingsWords.list}>
      <ul>
        {SECTIONS.map((section) => (
          <li key={section}>
            <a
              href={addressOfSettings(section)}
              data-testid={`to-${section}`}
              aria-current={section === shown ? "page" : undefined}
              onClick={(event) => follow(event, section)}
            >
              <Icon name={PARTS[section].icon} />
              <span>{settingsWords.sections[section]}</span>
              {shown === null ? <Icon name="chevron" /> : null}
            </a>
          </li>
        ))}
      </ul>
    </nav>
  );
}
