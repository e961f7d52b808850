import type { ComponentChildren, TargetedFocusEvent, TargetedKeyboardEvent, VNode } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

interface ToolbarProps {
  readonly label: string;
  readonly children: ComponentChildren;
}

/** Buttons that are one stop of Tab together; arrow keys go from one to the next. */
export function Toolbar({ label, children }: ToolbarProps): VNode {
  const bar = useRef<HTMLDivElement>(null);
  const current = useRef<HTMLElement | null>(null);
  const buttons = (): HTMLElement[] => [...(bar.current?.querySelectorAll<HTMLElement>("button:not([role])") ?? [])];
  const settle = (): void => {
    const all = buttons();
    if (!current.current || !all.includes(current.current)) current.current = all[0] ?? null;
    for (const button of all) button.tabIndex = button === current.current ? 0 : -1;
  };
  // Whenever it is drawn: its buttons come and go.
  useLayoutEffect(settle);
  const focused = (event: TargetedFocusEvent<HTMLElement>): void => {
    if (!buttons().includes(event.target as HTMLElement)) return;
    current.current = event.target as HTMLElement;
    settle();
  };
  const pressed = (event: TargetedKeyboardEvent<HTMLElement>): void => {
    const all = buttons();
    const at = all.indexOf(event.target as HTMLElement);
    const to = { ArrowRight: (at + 1) % all.length, ArrowLeft: (at - 1 + all.length) % all.length, Home: 0, End: all.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    all[to]?.focus();
  };
  return (
    <div class="tools" role="toolbar" aria-label={label} ref={bar} onFocusIn={focused} onKeyDown={pressed}>
      {children}
    </div>
  );
}
