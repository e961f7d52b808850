import type { ComponentChildren, VNode } from "preact";
import { useState } from "preact/hooks";
import { words } from "../words/words";
import { bytesOf, folded, pretty, SCROLLED_LINES } from "./values";

interface ValueProps {
  readonly title: string;
  readonly value: unknown;
  /** Shown whole at first: the person has asked for it. */
  readonly whole?: boolean;
  /** What stands in the place of the page's own fold. */
  readonly children?: ComponentChildren;
}

/** JSON laid out, text as it is; of a long one the beginning, until the person wants it whole. */
export function Value({ title, value, whole = false, children }: ValueProps): VNode {
  const [all, showAll] = useState(whole);
  const text = pretty(value);
  const beginning = folded(text);
  const shown = all ? text : (beginning ?? text);
  // A box that scrolls is reached by the keyboard.
  const scrolls = shown.split("\n").length > SCROLLED_LINES || shown.length > SCROLLED_LINES * 80;
  return (
    <div class="value-box">
      <p class="value-name">{title}</p>
      <pre class={scrolls ? "value scrolls" : "value"} {...(scrolls ? { tabIndex: 0, role: "group", "aria-label": title } : {})}>
        {shown}
        {children && beginning === null ? "…" : ""}
        {beginning !== null && !all ? "…" : ""}
      </pre>
      {children ?? (
        beginning === null ? null : (
          <button type="button" class="link value-fold" data-testid="fold" onClick={() => showAll(!all)}>
            {all ? words.steps.showLess : words.steps.showAll(bytesOf(text))}
          </button>
        )
      )}
    </div>
  );
}
