import type { VNode } from "preact";

export function Value({ name, value }: { readonly name: string; readonly value: unknown }): VNode {
  return (
    <>
      <p class="value-name">{name}</p>
      <pre class="value">{typeof value === "string" ? value : JSON.stringify(value, null, 2)}</pre>
    </>
  );
}
