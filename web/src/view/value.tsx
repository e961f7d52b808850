import type { VNode } from "preact";

export function Value({ title, value }: { readonly title: string; readonly value: unknown }): VNode {
  return (
    <>
      <p class="value-name">{title}</p>
      <pre class="value">{typeof value === "string" ? value : JSON.stringify(value, null, 2)}</pre>
    </>
  );
}
