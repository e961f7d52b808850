import { useComputed, useSignal } from "@preact/signals";
import type { VNode } from "preact";
import { useEffect } from "preact/hooks";
import type { Chat } from "../chat/chat";
import { waiting } from "../protocol/outbox";
import { words } from "../words/words";
import { connectionWords } from "./wording";

/** A line of its own height, so that nothing moves when it speaks. It says nothing while all is well, nor of a short break. */
export function ConnectionLine({ chat }: { readonly chat: Chat }): VNode {
  const online = useOnline();
  const shown = chat.interruption.shown.value;
  const unsent = useComputed(() => waiting(chat.delivery.outbox.value).length);
  const connection = chat.delivery.connection.value;
  const { state, text } = connectionWords(connection, online);
  return (
    <p class="connection" data-testid="connection" data-state={state} role="status">
      {shown === "back" && state === "connected" ? text : null}
      {shown === "away" && state !== "connected" ? (
        <>
          <span class="connection-words">{unsent.value > 0 ? `${words.connection.waiting(unsent.value)} ${text}` : text}</span>
          {state === "offline" ? (
            <button type="button" class="link" onClick={() => (connection.phase === "stopped" ? chat.delivery.restart() : chat.check())}>
              {connection.phase === "stopped" ? words.app.tryAgain : words.connection.tryNow}
            </button>
          ) : null}
        </>
      ) : null}
    </p>
  );
}

function useOnline(): boolean {
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
  return online.value;
}
