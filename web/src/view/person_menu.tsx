import type { VNode } from "preact";
import type { Application } from "../application";
import type { Chat } from "../chat/chat";
import { THEMES } from "../theme/apply";
import { chooseTheme, theme } from "../theme/theme";
import { words } from "../words/words";
import { Icon, type IconName } from "./icons";
import { Menu, type MenuGroup } from "./menu";
import { loadSettings } from "./settings_loaded";
import { showShortcuts } from "./shortcut_sheet";

const THEME_ICONS: Readonly<Record<(typeof THEMES)[number], IconName>> = { system: "screen", light: "sun", dark: "moon" };

/** Who is signed in, and what concerns the whole page. */
export function PersonMenu({ application, chat }: { readonly application: Application; readonly chat: Chat }): VNode {
  const groups = (): readonly MenuGroup[] => {
    loadSettings();
    return [
      {
        words: words.sidebar.theme,
        items: THEMES.map((name) => ({
          name: `theme-${name}`,
          words: words.themes[name],
          icon: THEME_ICONS[name],
          chosen: theme.value === name,
          act: () => chooseTheme(name),
        })),
      },
      {
        items: [
          { name: "settings", words: words.settings.title, icon: "gear", act: () => chat.settings.open() },
          { name: "shortcuts", words: words.shortcuts.title, icon: "keys", act: showShortcuts },
          { name: "sign-out", words: words.sidebar.signOut, icon: "leave", act: () => void application.signOut() },
        ],
      },
    ];
  };
  return (
    <Menu class="person" testId="person" label={words.sidebar.person(chat.me.username)} groups={groups}>
      <span class="person-initial" data-initial={[...chat.me.username][0]?.toUpperCase()} />
      <span class="person-name" data-testid="user">
        {chat.me.username}
      </span>
      <Icon name="more" />
    </Menu>
  );
}
