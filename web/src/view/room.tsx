import type { VNode } from "preact";
import type { Chat } from "../chat/chat";
import type { Draft } from "../chat/drafts";
import { fullness } from "../chat/sending";
import { words } from "../words/words";

/** How much of the longest message is written, once that matters; what is too long can go as a file. */
export function Room({ chat, draft }: { readonly chat: Chat; readonly draft: Draft }): VNode | null {
  const share = fullness(draft.written, chat.writing.agent.value, chat.delivery.limits.value);
  if (share === 0) return null;
  const attach = (): void => {
    chat.attachments.add(draft, [new File([draft.text.value], words.files.pastedName, { type: "text/plain" })]);
    draft.type("");
  };
  return (
    <p class="composer-room" data-testid="room" data-over={share > 1}>
      {words.composer.room(share > 1 ? Math.max(share, 1.01) : share)}
      {share > 1 ? (
        <button type="button" class="link" data-testid="as-file" onClick={attach}>
          {words.composer.asFile}
        </button>
      ) : null}
    </p>
  );
}
