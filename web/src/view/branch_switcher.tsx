import type { VNode } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import type { Chat } from "../chat/chat";
import { words } from "../words/words";
import { announce } from "./announcer";
import { Icon } from "./icons";

type Direction = "before" | "after";

/** What was pressed, until the version that it names is drawn: its button gets the focus, where the one before was. */
let pressed: { readonly id: string; readonly direction: Direction; readonly top: number } | null = null;

export interface SwitcherProps {
  readonly chat: Chat;
  /** The names of what is shown here. */
  readonly ids: string;
  readonly at: number;
  readonly of: number;
  readonly before: string | null;
  readonly after: string | null;
}

/** Goes from one version of a question, or of an answer, to the next. */
export function BranchSwitcher({ chat, ids, at, of, before, after }: SwitcherProps): VNode | null {
  const group = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const element = group.current;
    if (!pressed || !element || !ids.split(" ").includes(pressed.id)) return;
    const { direction, top } = pressed;
    pressed = null;
    const scroller = element.closest(".scroller");
    if (scroller) scroller.scrollTop += element.getBoundingClientRect().top - top;
    element.querySelector<HTMLElement>(`[data-direction="${direction}"]`)?.focus({ preventScroll: true });
    announce(words.branch.shown(at, of));
  }, [ids, at, of]);
  if (of < 2) return null;
  const turn = (direction: Direction): void => {
    const id = direction === "before" ? before : after;
    if (id === null) return;
    pressed = { id, direction, top: group.current?.getBoundingClientRect().top ?? 0 };
    void chat.messages.choose(id);
  };
  const turning = chat.conversation.value.turning.value;
  return (
    <div
      class="switcher"
      ref={group}
      role="group"
      aria-label={words.branch.label}
      aria-busy={turning !== null && (turning === before || turning === after)}
      data-testid="switcher"
    >
      <TurnButton label={words.branch.previous} direction="before" possible={before !== null} turn={turn} />
      <span data-testid="version">{words.branch.place(at, of)}</span>
      <TurnButton label={words.branch.next} direction="after" possible={after !== null} turn={turn} />
    </div>
  );
}

interface TurnButtonProps {
  readonly label: string;
  readonly direction: Direction;
  readonly possible: boolean;
  readonly turn: (direction: Direction) => void;
}

/** One that leads nowhere keeps the focus. */
function TurnButton({ label, direction, possible, turn }: TurnButtonProps): VNode {
  return (
    <button
      type="button"
      class="tool steady"
      data-testid={`version-${direction}`}
      data-direction={direction}
      aria-label={label}
      title={label}
      aria-disabled={!possible}
      onClick={() => turn(direction)}
    >
      <Icon name={direction === "before" ? "previous" : "chevron"} />
    </button>
  );
}
