import { type RefObject, render } from "preact";
import { useLayoutEffect } from "preact/hooks";
import { words } from "../words/words";
import { CopyButton } from "./copy_button";

/** A button on each block of code that is complete. What it stands in is made of HTML text, which has no buttons. */
export function useCodeButtons(body: RefObject<HTMLElement | null>, html: string, settled: boolean): void {
  useLayoutEffect(() => {
    if (!settled) return;
    const places = [...(body.current?.querySelectorAll<HTMLElement>(".code") ?? [])].map((code) => {
      const place = document.createElement("div");
      place.className = "code-tools";
      code.append(place);
      render(<CopyButton class="tool" label={words.message.copyCode} text={() => codeIn(code)} />, place);
      return place;
    });
    return () => {
      for (const place of places) {
        render(null, place);
        place.remove();
      }
    };
  }, [html, settled]);
}

/** As it was written: the renderer ends each with a line break. */
function codeIn(code: HTMLElement): string {
  return (code.querySelector("code")?.textContent ?? "").replace(/\n$/, "");
}
