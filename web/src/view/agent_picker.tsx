import type { TargetedFocusEvent, TargetedKeyboardEvent, VNode } from "preact";
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { OfferedAgent } from "../chat/agents";
import type { Chat } from "../chat/chat";
import { words } from "../words/words";
import { Icon } from "./icons";

interface PickerProps {
  readonly chat: Chat;
  /** The person has chosen and goes on writing. */
  readonly done: () => void;
}

/** Who is asked next. With one agent there is nothing to choose. */
export function AgentPicker({ chat, done }: PickerProps): VNode | null {
  const [open, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const menu = useId();
  const agents = chat.agents.offered.value;
  const current = chat.writing.agent.value;
  if (agents.length < 2 || current === null) return null;
  const close = (): void => {
    setOpen(false);
    button.current?.focus();
  };
  const choose = (name: string): void => {
    setOpen(false);
    chat.writing.chooseAgent(name);
    done();
  };
  const left = (event: TargetedFocusEvent<HTMLElement>): void => {
    if (!event.currentTarget.contains(event.relatedTarget as Node | null)) setOpen(false);
  };
  return (
    <div class="picker" onFocusOut={left}>
      <button
        type="button"
        ref={button}
        class="picker-button"
        data-testid="agent-picker"
        data-agent={current}
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={menu}
        aria-label={words.composer.agent(current)}
        onClick={() => setOpen(!open)}
        onKeyDown={(event) => {
          if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
          event.preventDefault();
          setOpen(true);
        }}
      >
        <Icon name="people" />
        <span class="picker-name">{current}</span>
        <Icon name="chevron" />
      </button>
      {open ? <AgentMenu id={menu} agents={agents} current={current} choose={choose} close={close} /> : null}
    </div>
  );
}

interface MenuProps {
  readonly id: string;
  readonly agents: readonly OfferedAgent[];
  readonly current: string;
  readonly choose: (name: string) => void;
  readonly close: () => void;
}

function AgentMenu({ id, agents, current, choose, close }: MenuProps): VNode {
  const menu = useRef<HTMLDivElement>(null);
  const items = (): HTMLElement[] => [...(menu.current?.querySelectorAll<HTMLElement>("[role=menuitemradio]") ?? [])];
  // Before the next key is pressed.
  useLayoutEffect(() => {
    const chosen = menu.current?.querySelector<HTMLElement>("[aria-checked=true]") ?? items()[0];
    chosen?.focus();
  }, []);
  const pressed = (event: TargetedKeyboardEvent<HTMLElement>): void => {
    const all = items();
    const at = all.indexOf(document.activeElement as HTMLElement);
    const place = { ArrowDown: (at + 1) % all.length, ArrowUp: (at - 1 + all.length) % all.length, Home: 0, End: all.length - 1 }[event.key];
    if (place === undefined && event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    if (place === undefined) close();
    else all[place]?.focus();
  };
  return (
    <div class="picker-menu" id={id} role="menu" aria-label={words.composer.agents} ref={menu} onKeyDown={pressed}>
      {agents.map(({ name, described }) => (
        <button
          type="button"
          key={name}
          role="menuitemradio"
          class="picker-item"
          tabIndex={-1}
          aria-checked={name === current}
          data-testid="agent-option"
          data-agent={name}
          onClick={() => choose(name)}
        >
          <span class="picker-title">
            {name}
            {described ? <span class="picker-model">{described.model}</span> : null}
            {name === current ? <Icon name="check" /> : null}
          </span>
          {described?.description ? <span class="picker-words">{described.description}</span> : null}
        </button>
      ))}
    </div>
  );
}
