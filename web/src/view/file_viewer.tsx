import { signal } from "@preact/signals";
import type { VNode } from "preact";
import type { Chat } from "../chat/chat";
import type { WireAttachment } from "../protocol/frames";
import { loadSeldom, seldom } from "./seldom_loaded";

const shown = signal<WireAttachment | null>(null);

export function showFile(file: WireAttachment): void {
  loadSeldom();
  shown.value = file;
}

/** The file that the person looks at, in front of the page. */
export function FileViewer({ chat }: { readonly chat: Chat }): VNode | null {
  const file = shown.value;
  const parts = seldom.value;
  return file && parts ? <parts.Viewer key={file.id} chat={chat} file={file} closed={() => (shown.value = null)} /> : null;
}
