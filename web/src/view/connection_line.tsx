import { useSignal } from "@preact/signals";
import type { VNode } from "preact";
import { useEffect } from "preact/hooks";
import type { Chat } from "../chat/chat";
import { words } from "../words/words";
import { connectionWords } from "./wording";

/** Says nothing while all is well. A short interruption passes unseen: the line shows itself after a second. */
export function ConnectionLine({ chat }: { readonly chat: Chat }): VNode {
  const online = useSignal(navigator.onLine);
  useEffect(() => {
    const look = (): void => {
      online.value = navigator.onLine;
    };
    addEventListener("online", look);
    addEventListener("offline", look);
    return () => {
      removeEventListener("online", look);
      removeEventListener("offline", look);
    };
  }, [online]);
  const connection = chat.delivery.connection.value;
  const { state, text } = connectionWords(connection, online.value);
  return (
    <p class="connection" data-testid="connection" data-state={state} role="status">
      {state === "connected" ? null : (
        <span class="connection-words">
          {text}
          {connection.phase === "stopped" ? (
            <button type="button" class="link" onClick={() => chat.delivery.restart()}>
              {words.app.tryAgain}
            </button>
          ) : null}
          {connection.phase === "waiting" && state === "offline" ? (
            <button type="button" class="link" onClick={() => chat.check()}>
              {words.connection.tryNow}
            </button>
          ) : null}
        </span>
      )}
    </p>
  );
}
