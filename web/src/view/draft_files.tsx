import { useSignalEffect } from "@preact/signals";
import type { VNode } from "preact";
import { useRef } from "preact/hooks";
import type { Chat } from "../chat/chat";
import { type DraftFile, isImage } from "../chat/draft_files";
import type { Draft } from "../chat/drafts";
import { words } from "../words/words";
import { announce } from "./announcer";
import { FileName } from "./file_name";
import { showFile } from "./file_viewer";
import { Icon } from "./icons";
import { PreviewImage } from "./preview_image";
import { failureSentence } from "./wording";

interface FilesProps {
  readonly chat: Chat;
  readonly draft: Draft;
}

/** The files that the message will have, and those that it will not, with the reason. */
export function DraftFiles({ chat, draft }: FilesProps): VNode | null {
  useFileNews(draft);
  const list = useRef<HTMLUListElement>(null);
  const files = draft.files.value;
  if (files.length === 0) return null;
  const remove = (file: DraftFile): void => {
    const place = files.indexOf(file);
    chat.attachments.remove(draft, file);
    // The focus stays in the list, or goes to the field.
    const next = list.current?.children[place + 1] ?? list.current?.children[place - 1];
    const to = next?.querySelector<HTMLElement>("[data-testid=file-remove]") ?? document.querySelector<HTMLElement>(".composer textarea");
    to?.focus({ preventScroll: true });
  };
  return (
    <ul class="draft-files" ref={list} aria-label={words.files.label} data-testid="draft-files">
      {files.map((file) => (
        <DraftFileChip key={file.key} chat={chat} draft={draft} file={file} remove={() => remove(file)} />
      ))}
    </ul>
  );
}

interface ChipProps extends FilesProps {
  readonly file: DraftFile;
  readonly remove: () => void;
}

function DraftFileChip({ chat, draft, file, remove }: ChipProps): VNode {
  const { key, name, bytes, mediaType, state, attachment, failure } = file;
  const isOnItsWay = state === "waiting" || state === "sending";
  const open = attachment && state === "there" ? () => showFile(attachment) : null;
  const face = (
    <>
      <span class="file-face">{isImage(mediaType) ? <PreviewImage chat={chat} id={key} attachment={attachment} alt="" /> : <Icon name="file" />}</span>
      <span class="file-words">
        <FileName name={name} />
        {isOnItsWay ? <Progress file={file} /> : <span class="file-size">{words.files.size(bytes)}</span>}
      </span>
    </>
  );
  return (
    <li class="file" data-testid="draft-file" data-state={state} data-code={failure?.code}>
      <span class="file-row">
        {open ? (
          <button type="button" class="file-open" data-testid="file-open" title={words.files.show(name)} onClick={open}>
            {face}
          </button>
        ) : (
          <span class="file-open">{face}</span>
        )}
        {failure?.passing ? (
          <button type="button" class="round small" data-testid="file-again" aria-label={words.files.again(name)} title={words.app.tryAgain} onClick={() => chat.attachments.again(draft, key)}>
            <Icon name="again" />
          </button>
        ) : null}
        <button
          type="button"
          class="round small"
          data-testid="file-remove"
          aria-label={isOnItsWay ? words.files.cancel(name) : words.files.remove(name)}
          onClick={remove}
        >
          <Icon name="close" />
        </button>
      </span>
      {failure ? (
        <span class="file-failure" role="alert">
          <Icon name="alert" />
          <span>
            <span class="visually-hidden">{words.files.notAttached(name)}</span> {failureSentence(failure, chat.delivery.limits.value)}
          </span>
        </span>
      ) : null}
    </li>
  );
}

/** Once all is sent, the server looks into it, for nobody knows how long. */
function Progress({ file: { name, state, progress } }: { readonly file: DraftFile }): VNode {
  const known = state === "sending" && progress < 1;
  return <progress class="file-progress" aria-label={words.files.sending(name)} max={1} {...(known ? { value: progress } : {})} />;
}

/** Says that a file is there, once; one that is refused says so itself. */
function useFileNews(draft: Draft): void {
  const said = useRef<ReadonlyMap<string, string> | null>(null);
  useSignalEffect(() => {
    const files = draft.files.value;
    const before = said.current;
    said.current = new Map(files.map(({ key, state }) => [key, state]));
    // What was there when the page opened is no news.
    const news = before === null ? [] : files.filter(({ key, state }) => state === "there" && before.get(key) !== state);
    if (news.length > 0) announce(news.map(({ name }) => words.files.attached(name)).join(". "));
  });
}
