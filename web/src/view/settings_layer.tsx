import type { VNode } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { Application } from "../application";
import type { Chat } from "../chat/chat";
import { front, type ShortcutName, useShortcut } from "../keys/shortcuts";
import { words } from "../words/words";
import { Icon } from "./icons";
import { loadSettings, settingsLate, settingsModule } from "./settings_loaded";

interface LayerProps {
  readonly application: Application;
  readonly chat: Chat;
}

const WORKS_HERE: ReadonlySet<ShortcutName> = new Set(["settings", "leave", "newChat", "undo", "sheet"]);

/** The settings, over the whole page: what is under them goes on, and cannot be reached meanwhile. */
export function SettingsLayer({ application, chat }: LayerProps): VNode | null {
  const shown = chat.settings.shown.value;
  useShortcut("settings", () => (chat.settings.shown.peek() ? chat.settings.close() : chat.settings.open()));
  return shown ? <OpenLayer application={application} chat={chat} /> : null;
}

function OpenLayer({ application, chat }: LayerProps): VNode {
  const close = (): void => chat.settings.close();
  useShortcut("leave", (event) => {
    // What is being typed is not lost by a key.
    if (event.target instanceof HTMLInputElement && event.target.type !== "checkbox" && event.target.value !== "") return false;
    close();
  });
  useLayoutEffect(() => {
    front.value = WORKS_HERE;
    return () => (front.value = null);
  }, []);
  useEffect(loadSettings, []);
  const module = settingsModule.value;
  return module ? <module.SettingsPage application={application} chat={chat} close={close} /> : <Waiting close={close} />;
}

function Waiting({ close }: { readonly close: () => void }): VNode {
  const button = useRef<HTMLButtonElement>(null);
  useLayoutEffect(() => button.current?.focus(), []);
  return (
    <main class="settings" aria-label={words.settings.title}>
      <button type="button" class="round settings-close" ref={button} aria-label={words.settings.close} onClick={close}>
        <Icon name="close" />
      </button>
      <p class="starting">{settingsLate.value ? words.app.unreachable : words.app.loading}</p>
    </main>
  );
}

/** While something lies over the page, the focus is there; afterwards it is where it was. */
export function useFocusKept(covered: boolean): void {
  const before = useRef<HTMLElement | null>(null);
  // While it is drawn, before anything takes the focus.
  if (covered && !before.current) before.current = document.activeElement as HTMLElement | null;
  useLayoutEffect(() => {
    if (covered || !before.current) return;
    const isThere = before.current.isConnected && before.current !== document.body;
    const element = isThere ? before.current : document.getElementById("conversation");
    element?.focus({ preventScroll: true });
    before.current = null;
  }, [covered]);
}
