// Files and text from the clipboard, into the draft.
import type { TargetedClipboardEvent } from "preact";
import type { Chat } from "../chat/chat";
import type { Draft } from "../chat/drafts";
import { pasteOf } from "../chat/pasting";
import { words } from "../words/words";
import { given } from "./given_files";

export function pasteInto(chat: Chat, draft: Draft, event: TargetedClipboardEvent<HTMLTextAreaElement>): void {
  const { clipboardData } = event;
  if (!clipboardData) return;
  const { files, folders } = given(clipboardData);
  const text = clipboardData.getData("text/plain");
  const limits = chat.delivery.limits.value;
  const room = (limits?.max_message_bytes ?? Number.POSITIVE_INFINITY) - draft.text.value.length;
  const kind = pasteOf({ text, hasHtml: clipboardData.types.includes("text/html"), files: files.length + folders.length }, room);
  if (kind === "text") return;
  event.preventDefault();
  if (kind === "files") {
    chat.attachments.add(draft, files, folders);
    return;
  }
  const field = event.currentTarget;
  const [from, to] = [field.selectionStart, field.selectionEnd];
  const [key] = chat.attachments.add(draft, [new File([text], words.files.pastedName, { type: "text/plain" })]);
  chat.toasts.done(words.files.pasted, () => {
    const file = draft.files.value.find((each) => each.key === key);
    if (file) chat.attachments.remove(draft, file);
    field.focus();
    field.setRangeText(text, from, to, "end");
    draft.type(field.value);
  });
}
