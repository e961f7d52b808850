import type { TargetedKeyboardEvent, TargetedSubmitEvent, VNode } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import type { Chat } from "../chat/chat";
import type { Question } from "../chat/tree";
import { words } from "../words/words";
import { isComposing } from "./composing";

interface EditorProps {
  readonly chat: Chat;
  readonly question: Question;
  readonly text: string;
}

/** The question in a field, in its place. Enter sends it, Escape leaves it as it was. */
export function QuestionEditor({ chat, question, text }: EditorProps): VNode {
  const field = useRef<HTMLTextAreaElement>(null);
  const busy = chat.conversation.value.openRunIds.value.length > 0;
  useLayoutEffect(() => {
    if (!field.current) return;
    field.current.style.height = "auto";
    field.current.style.height = `${field.current.scrollHeight}px`;
  }, [text]);
  useLayoutEffect(() => {
    field.current?.focus();
    field.current?.setSelectionRange(text.length, text.length);
  }, []);
  const save = (event?: TargetedSubmitEvent<HTMLFormElement>): void => {
    event?.preventDefault();
    if (text.trim() === "") return;
    chat.messages.saveEdit(question);
    // On a touch screen the focus would open the keyboard over the answer.
    if (matchMedia("(pointer: fine)").matches) document.querySelector<HTMLElement>(".composer textarea")?.focus({ preventScroll: true });
  };
  const pressed = (event: TargetedKeyboardEvent<HTMLTextAreaElement>): void => {
    if (isComposing(event) || event.shiftKey || (event.key !== "Enter" && event.key !== "Escape")) return;
    event.preventDefault();
    if (event.key === "Enter") save();
    else chat.messages.cancelEdit();
  };
  const files = question.attachments.length;
  return (
    <form class="question-editor" onSubmit={save} data-testid="editor">
      <textarea
        ref={field}
        rows={1}
        data-testid="edit-text"
        aria-label={words.edit.label}
        autocomplete="off"
        enterkeyhint="send"
        value={text}
        onInput={(event) => chat.messages.typeEdit(event.currentTarget.value)}
        onKeyDown={pressed}
      />
      <div class="question-editor-foot">
        <p role="status">{[files > 0 ? words.edit.keepsFiles(files) : "", busy ? words.edit.stops : ""].filter(Boolean).join(". ")}</p>
        <button type="button" data-testid="edit-cancel" onClick={() => chat.messages.cancelEdit()}>
          {words.app.cancel}
        </button>
        <button type="submit" class="primary" data-testid="edit-save" disabled={text.trim() === ""}>
          {busy ? words.edit.stopAndSend : words.edit.send}
        </button>
      </div>
    </form>
  );
}
