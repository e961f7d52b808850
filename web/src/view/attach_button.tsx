import type { VNode } from "preact";
import { useRef } from "preact/hooks";
import type { Chat } from "../chat/chat";
import type { Draft } from "../chat/drafts";
import { useShortcut } from "../keys/shortcuts";
import { words } from "../words/words";
import { Icon } from "./icons";

interface AttachProps {
  readonly chat: Chat;
  readonly draft: Draft;
  /** The person has chosen and goes on writing. */
  readonly done: () => void;
}

/** Opens the picker of the system, which on a phone offers the camera, too. */
export function AttachButton({ chat, draft, done }: AttachProps): VNode {
  const input = useRef<HTMLInputElement>(null);
  useShortcut("attach", () => input.current?.click());
  return (
    <>
      <button
        type="button"
        class="round attach"
        data-testid="attach"
        aria-label={words.files.attach}
        title={words.files.attach}
        onClick={() => input.current?.click()}
      >
        <Icon name="clip" />
      </button>
      <input
        ref={input}
        type="file"
        multiple
        hidden
        data-testid="file-input"
        onChange={(event) => {
          const { files } = event.currentTarget;
          chat.attachments.add(draft, [...(files ?? [])]);
          // The same file can be chosen again.
          event.currentTarget.value = "";
          done();
        }}
      />
    </>
  );
}
