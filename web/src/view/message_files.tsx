import type { VNode } from "preact";
import type { Chat } from "../chat/chat";
import { isImage } from "../chat/draft_files";
import type { WireAttachment } from "../protocol/frames";
import { words } from "../words/words";
import { FileName } from "./file_name";
import { showFile } from "./file_viewer";
import { Icon } from "./icons";
import { PreviewImage } from "./preview_image";

/** The files of a question: images as pictures, text by name. Each opens large. */
export function MessageFiles({ chat, files }: { readonly chat: Chat; readonly files: readonly WireAttachment[] }): VNode {
  return (
    <ul class="message-files" aria-label={words.files.of} data-testid="message-files">
      {files.map((file) => (
        <li key={file.id}>
          <button type="button" class={isImage(file.media_type) ? "picture" : "file file-open"} data-testid="message-file" title={words.files.show(file.name)} onClick={() => showFile(file)}>
            {isImage(file.media_type) ? (
              <PreviewImage chat={chat} id={file.id} attachment={file} alt={words.files.image(file.name)} />
            ) : (
              <>
                <span class="file-face">
                  <Icon name="file" />
                </span>
                <span class="file-words">
                  <FileName name={file.name} />
                  <span class="file-size">{words.files.size(file.bytes)}</span>
                </span>
              </>
            )}
          </button>
        </li>
      ))}
    </ul>
  );
}
