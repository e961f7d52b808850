// Text into the clipboard. A page that did not come over TLS has no clipboard of its own, and copies as of old.
import { words } from "../words/words";
import { announce } from "./announcer";

export async function copy(text: string): Promise<boolean> {
  const copied = await navigator.clipboard?.writeText(text).then(
    () => true,
    () => false,
  );
  const done = copied || copiedAsOfOld(text);
  announce(done ? words.message.copied : words.message.notCopied);
  return done;
}

function copiedAsOfOld(text: string): boolean {
  const before = document.activeElement as HTMLElement | null;
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "visually-hidden";
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  before?.focus({ preventScroll: true });
  return done;
}
