import type { VNode } from "preact";
import type { Chat } from "../chat/chat";
import { SHORTCUTS, useShortcut } from "../keys/shortcuts";
import { words } from "../words/words";
import { Icon } from "./icons";
import { Keys } from "./key_caps";
import { errorSentence } from "./wording";

/** The word on what was done. The region is there before it, so that screen readers read it. */
export function ToastRegion({ chat }: { readonly chat: Chat }): VNode {
  const toast = chat.toasts.shown.value;
  const undo = (): boolean => {
    if (toast?.kind !== "done" || !toast.undo) return false;
    chat.toasts.undo();
    return true;
  };
  useShortcut("undo", undo);
  return (
    <div class="toasts" role="status">
      {toast ? (
        <div
          class="toast"
          data-testid="toast"
          data-kind={toast.kind}
          onMouseEnter={() => chat.toasts.hold()}
          onMouseLeave={() => chat.toasts.resume()}
          onFocusIn={() => chat.toasts.hold()}
          onFocusOut={() => chat.toasts.resume()}
        >
          {toast.kind === "failed" ? <Icon name="alert" /> : null}
          <p>{toast.kind === "failed" ? errorSentence(toast.error.code, toast.error.message) : toast.text}</p>
          {toast.kind === "done" && toast.undo ? (
            <button type="button" class="toast-undo" data-testid="undo" onClick={undo}>
              {words.sidebar.undo}
              <Keys keys={SHORTCUTS.undo.keys[0]} />
            </button>
          ) : null}
          <button type="button" class="round" data-testid="dismiss-toast" aria-label={words.app.dismiss} onClick={() => chat.toasts.dismiss()}>
            <Icon name="close" />
          </button>
        </div>
      ) : null}
    </div>
  );
}
