import type { VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { words } from "../words/words";
import { copy } from "./clipboard";
import { Icon } from "./icons";

const SHOWN_MS = 2000;

interface CopyProps {
  readonly label: string;
  readonly text: () => string;
  readonly class: string;
}

export function CopyButton({ label, text, class: name }: CopyProps): VNode {
  const [done, setDone] = useState(false);
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  const act = async (): Promise<void> => {
    const copied = await copy(text());
    setDone(copied);
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => setDone(false), SHOWN_MS);
  };
  return (
    <button
      type="button"
      class={name}
      data-testid="copy"
      data-state={done ? "copied" : undefined}
      aria-label={label}
      title={done ? words.message.copied : label}
      onClick={() => void act()}
    >
      <Icon name={done ? "check" : "copy"} />
    </button>
  );
}
