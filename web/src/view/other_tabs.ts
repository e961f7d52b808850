// The same draft in two tabs: the one that is written in wins, and the other shows it.
import type { RefObject } from "preact";
import { useEffect } from "preact/hooks";
import type { Chat } from "../chat/chat";

export function useDraftOfOtherTabs(chat: Chat, field: RefObject<HTMLElement | null>): void {
  useEffect(() => {
    const stored = (event: StorageEvent): void => {
      const isWriting = document.hasFocus() && field.current === document.activeElement;
      chat.drafts.stored(event, isWriting ? chat.conversation.value.draft : null);
    };
    addEventListener("storage", stored);
    return () => removeEventListener("storage", stored);
  }, [chat, field]);
}
