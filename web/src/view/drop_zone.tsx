import type { VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Chat } from "../chat/chat";
import type { Draft } from "../chat/drafts";
import { words } from "../words/words";
import { given } from "./given_files";
import { Icon } from "./icons";

interface DropProps {
  readonly chat: Chat;
  readonly draft: Draft;
}

/** Over the conversation while files are dragged over the page. Dropped beside it they do nothing: no page is left by that. */
export function DropZone({ chat, draft }: DropProps): VNode | null {
  const zone = useRef<HTMLDivElement>(null);
  const [dragged, setDragged] = useState(false);
  useEffect(() => {
    // A picture or a link of the page itself may be dragged as a file, too.
    let fromHere = false;
    const brings = (event: DragEvent): DataTransfer | null => {
      const { dataTransfer } = event;
      return !fromHere && dataTransfer?.types.includes("Files") && !document.querySelector("dialog[open]") ? dataTransfer : null;
    };
    const inZone = ({ target }: DragEvent): boolean => zone.current?.parentElement?.contains(target as Node) ?? false;
    const listeners: { [Type in "dragstart" | "dragend" | "dragenter" | "dragover" | "dragleave" | "drop"]: (event: DragEvent) => void } = {
      dragstart: () => (fromHere = true),
      dragend: () => (fromHere = false),
      dragenter: (event) => {
        if (brings(event)) setDragged(true);
      },
      dragover: (event) => {
        const transfer = brings(event);
        if (!transfer) return;
        event.preventDefault();
        transfer.dropEffect = inZone(event) ? "copy" : "none";
      },
      dragleave: (event) => {
        // Nothing follows: the pointer has left the page.
        if (event.relatedTarget === null) setDragged(false);
      },
      drop: (event) => {
        setDragged(false);
        const transfer = brings(event);
        if (!transfer) return;
        event.preventDefault();
        const { files, folders } = given(transfer);
        if (inZone(event)) chat.attachments.add(draft, files, folders);
      },
    };
    for (const [type, listener] of Object.entries(listeners)) document.addEventListener(type, listener as EventListener);
    return () => {
      for (const [type, listener] of Object.entries(listeners)) document.removeEventListener(type, listener as EventListener);
    };
  }, [chat, draft]);
  const limits = chat.delivery.limits.value;
  const [most, largest] = [limits?.["max_attachments"], limits?.["max_attachment_bytes"]];
  return (
    <div class="drop-zone" ref={zone} data-testid="drop-zone" hidden={!dragged}>
      <p class="drop-words">
        <Icon name="clip" />
        {words.files.drop}
      </p>
      {most !== undefined && largest !== undefined ? <p class="drop-limits">{words.files.dropLimits(most, largest)}</p> : null}
    </div>
  );
}
