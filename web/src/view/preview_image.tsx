import type { VNode } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Chat } from "../chat/chat";
import type { WireAttachment } from "../protocol/frames";
import { Icon } from "./icons";

interface PreviewProps {
  readonly chat: Chat;
  /** By which the page knows the picture. */
  readonly id: string;
  /** Where it can be read; null while it is only here. */
  readonly attachment: WireAttachment | null;
  /** What is told instead of it; empty where its name stands beside. */
  readonly alt: string;
}

/** A small picture in a place of fixed size, read when it comes near. */
export function PreviewImage({ chat, id, attachment, alt }: PreviewProps): VNode {
  const place = useRef<HTMLSpanElement>(null);
  const known = attachment?.id ?? id;
  const preview = chat.attachments.previews.of(known).value;
  useEffect(() => {
    if (!place.current || !attachment || preview !== null) return;
    const near = new IntersectionObserver(
      (entries) => {
        if (entries.some((entry) => entry.isIntersecting)) chat.attachments.previews.want(attachment);
      },
      { rootMargin: "400px" },
    );
    near.observe(place.current);
    return () => near.disconnect();
  }, [chat, attachment, preview]);
  return (
    <span class="preview" ref={place} data-testid="preview" data-state={preview === null ? "loading" : preview === "failed" ? "failed" : "shown"}>
      {preview === null || preview === "failed" ? (
        <>
          <Icon name="image" />
          <span class="visually-hidden">{alt}</span>
        </>
      ) : (
        <img src={preview} alt={alt} draggable={false} />
      )}
    </span>
  );
}
