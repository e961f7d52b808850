import type { TargetedKeyboardEvent, VNode } from "preact";
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Icon, type IconName } from "./icons";

export interface MenuItem {
  readonly name: string;
  readonly words: string;
  readonly icon: IconName;
  readonly act: () => void;
  /** One of a group of which one is chosen. */
  readonly chosen?: boolean;
  readonly danger?: boolean;
}

export interface MenuGroup {
  readonly words?: string;
  readonly items: readonly MenuItem[];
}

interface MenuProps {
  readonly label: string;
  readonly testId: string;
  readonly class: string;
  readonly groups: () => readonly MenuGroup[];
  readonly tabIndex?: number;
  readonly children: VNode | VNode[];
}

/** A button, and a menu that it opens over the page. Escape, Tab and a press elsewhere close it. */
export function Menu({ label, testId, class: name, groups, tabIndex, children }: MenuProps): VNode {
  const [open, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const id = useId();
  const close = (): void => {
    setOpen(false);
    button.current?.focus();
  };
  return (
    <>
      <button
        type="button"
        ref={button}
        class={name}
        data-testid={testId}
        aria-label={label}
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={id}
        tabIndex={tabIndex}
        onClick={() => setOpen(!open)}
        onKeyDown={(event) => {
          if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
          event.preventDefault();
          setOpen(true);
        }}
      >
        {children}
      </button>
      {open ? <OpenMenu id={id} label={label} groups={groups()} button={button.current} close={close} left={() => setOpen(false)} /> : null}
    </>
  );
}

interface OpenProps {
  readonly id: string;
  readonly label: string;
  readonly groups: readonly MenuGroup[];
  readonly button: HTMLElement | null;
  readonly close: () => void;
  readonly left: () => void;
}

function OpenMenu({ id, label, groups, button, close, left }: OpenProps): VNode {
  const menu = useRef<HTMLDivElement>(null);
  const items = (): HTMLElement[] => [...(menu.current?.querySelectorAll<HTMLElement>("[role^=menuitem]") ?? [])];
  useLayoutEffect(() => {
    if (!menu.current) return;
    menu.current.showPopover();
    if (button) place(menu.current, button);
    (items().find((item) => item.ariaChecked === "true") ?? items()[0])?.focus();
  }, []);
  const pressed = (event: TargetedKeyboardEvent<HTMLElement>): void => {
    const all = items();
    const at = all.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: (at + 1) % all.length, ArrowUp: (at - 1 + all.length) % all.length, Home: 0, End: all.length - 1 }[event.key];
    const named = event.key.length === 1 ? [...all.slice(at + 1), ...all].find((item) => startsWith(item, event.key)) : undefined;
    const next = to === undefined ? named : all[to];
    if (!next && event.key !== "Escape" && event.key !== "Tab") return;
    event.preventDefault();
    event.stopPropagation();
    if (next) next.focus();
    else close();
  };
  const act = (item: MenuItem): void => {
    close();
    item.act();
  };
  return (
    <div
      class="menu"
      id={id}
      role="menu"
      popover="manual"
      aria-label={label}
      ref={menu}
      onKeyDown={pressed}
      onFocusOut={(event) => {
        const to = event.relatedTarget as Node | null;
        if (!event.currentTarget.contains(to) && to !== button) left();
      }}
    >
      {groups.map((group, at) => (
        <div key={at} class="menu-group" role="group" aria-label={group.words}>
          {group.words ? (
            <p class="menu-title" aria-hidden="true">
              {group.words}
            </p>
          ) : null}
          {group.items.map((item) => (
            <Item key={item.name} item={item} act={() => act(item)} />
          ))}
        </div>
      ))}
    </div>
  );
}

function Item({ item, act }: { readonly item: MenuItem; readonly act: () => void }): VNode {
  const isChoice = item.chosen !== undefined;
  return (
    <button
      type="button"
      class={item.danger ? "menu-item danger" : "menu-item"}
      role={isChoice ? "menuitemradio" : "menuitem"}
      aria-checked={isChoice ? item.chosen : undefined}
      tabIndex={-1}
      data-testid={`menu-${item.name}`}
      onClick={act}
    >
      <Icon name={item.icon} />
      <span>{item.words}</span>
      {item.chosen ? <Icon name="check" /> : null}
    </button>
  );
}

function startsWith(item: HTMLElement, key: string): boolean {
  return (item.textContent ?? "").trim().toLowerCase().startsWith(key.toLowerCase());
}

const MARGIN_PX = 8;

/** Below the button or above it, where there is room; aligned with its nearer edge. */
function place(menu: HTMLElement, button: HTMLElement): void {
  const at = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const below = at.bottom + MARGIN_PX / 2;
  const top = below + height + MARGIN_PX > innerHeight ? at.top - height - MARGIN_PX / 2 : below;
  menu.style.top = `${Math.max(MARGIN_PX, top)}px`;
  menu.style.left = `${Math.max(MARGIN_PX, Math.min(at.left, innerWidth - width - MARGIN_PX))}px`;
}
