import type { VNode } from "preact";
import { useId } from "preact/hooks";
import { allowSingleKeys, singleKeys } from "../../keys/shortcuts";
import { type Theme, THEMES } from "../../theme/apply";
import { chooseTheme, theme } from "../../theme/theme";
import { settingsWords } from "../../words/settings_words";
import { words } from "../../words/words";
import { Icon, type IconName } from "../icons";
import { showShortcuts } from "../shortcut_sheet";
import type { SectionProps } from "./page";
import { Failure, Setting, useAttempt } from "./parts";

const THEME_ICONS: Readonly<Record<Theme, IconName>> = { system: "screen", light: "sun", dark: "moon" };

export function General({ chat }: SectionProps): VNode {
  return (
    <>
      <ThemeChoice />
      <DefaultAgent chat={chat} />
      <KeyChoice />
    </>
  );
}

function ThemeChoice(): VNode {
  return (
    <Setting title={settingsWords.theme} about={settingsWords.themeAbout}>
      <div class="choices" role="radiogroup" aria-label={settingsWords.theme}>
        {THEMES.map((name) => (
          <label key={name} class="choice" data-testid={`theme-${name}`}>
            <input type="radio" name="theme" value={name} checked={theme.value === name} onChange={() => chooseTheme(name)} />
            <Icon name={THEME_ICONS[name]} />
            {words.themes[name]}
          </label>
        ))}
      </div>
    </Setting>
  );
}

const LAST_ONE = "";

function DefaultAgent({ chat }: Pick<SectionProps, "chat">): VNode {
  const id = useId();
  const offered = chat.agents.offered.value;
  const chosen = chat.preferences.defaultAgent.value;
  const { busy, failure, act } = useAttempt((name: string) => chat.preferences.chooseDefaultAgent(name === LAST_ONE ? null : name));
  const isGone = chosen !== null && offered.length > 0 && !offered.some((agent) => agent.name === chosen);
  const described = offered.find((agent) => agent.name === chosen)?.described;
  return (
    <Setting title={settingsWords.defaultAgent} about={settingsWords.defaultAgentAbout}>
      <select
        class="select"
        data-testid="default-agent"
        aria-label={settingsWords.defaultAgent}
        aria-describedby={id}
        value={chosen ?? LAST_ONE}
        aria-busy={busy}
        onChange={(event) => void act(event.currentTarget.value)}
      >
        <option value={LAST_ONE}>{settingsWords.lastAgent}</option>
        {isGone || offered.length === 0 ? chosen !== null && <option value={chosen}>{isGone ? settingsWords.agentGone(chosen) : chosen}</option> : null}
        {offered.map(({ name }) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
      </select>
      <p class="setting-note" id={id} data-testid="default-agent-note">
        {isGone ? settingsWords.agentGoneAbout(chat.agents.choose(null) ?? "") : (described?.description ?? "")}
      </p>
      {failure ? <Failure error={failure} /> : null}
    </Setting>
  );
}

function KeyChoice(): VNode {
  return (
    <Setting title={settingsWords.keyboard}>
      <label class="switch">
        <input type="checkbox" role="switch" data-testid="single-keys" checked={singleKeys.value} onChange={(event) => allowSingleKeys(event.currentTarget.checked)} />
        {words.shortcuts.singleKeys}
      </label>
      <button type="button" class="setting-button" onClick={showShortcuts}>
        <Icon name="keys" />
        {settingsWords.showShortcuts}
      </button>
    </Setting>
  );
}
