import type { RefObject, VNode } from "preact";
import { SHORTCUTS, useShortcut } from "../keys/shortcuts";
import { words } from "../words/words";
import { Keys } from "./key_caps";

interface InterruptProps {
  /** Where the message is written: the key works there. */
  readonly field: RefObject<HTMLElement | null>;
  readonly act: () => void;
}

/** While an answer is being written, a message waits for it, or ends it. */
export function Interrupt({ field, act }: InterruptProps): VNode {
  useShortcut("interrupt", act, () => field.current);
  const [keys] = SHORTCUTS.interrupt.keys;
  return (
    <button type="button" class="interrupt" data-testid="interrupt" onClick={act}>
      {words.composer.interrupt}
      <Keys keys={keys} />
    </button>
  );
}
