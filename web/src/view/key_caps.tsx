import type { VNode } from "preact";
import { capsOf } from "../keys/shortcuts";

/** The keys of a shortcut as they look on the keyboard. */
export function Keys({ keys }: { readonly keys: string }): VNode {
  return (
    <span class="keys">
      {capsOf(keys).map((cap) => (
        <kbd key={cap}>{cap}</kbd>
      ))}
    </span>
  );
}
