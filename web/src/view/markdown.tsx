import type { VNode } from "preact";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { type Block, MarkdownStream } from "../markdown/blocks";
import { showHtml } from "../markdown/sanitise";
import { memo } from "./memo";

const LONGEST_HIGHLIGHTED = 50_000;

/** Markdown that may still grow. Blocks that did not change are not touched. */
export function Markdown({ text, growing }: { readonly text: string; readonly growing: boolean }): VNode {
  const stream = useRef<MarkdownStream | null>(null);
  stream.current ??= new MarkdownStream();
  const reader = stream.current;
  const blocks = useMemo(() => (growing ? reader.update(text) : reader.finish(text)), [reader, text, growing]);
  return (
    <>
      {blocks.map((block, place) => (
        <MarkdownBlock key={place} html={block.html} settled={block.settled} />
      ))}
    </>
  );
}

const MarkdownBlock = memo(({ html, settled }: Block) => <BlockBody html={html} settled={settled} />);

function BlockBody({ html, settled }: Block): VNode {
  const body = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    if (body.current) showHtml(body.current, html);
  }, [html]);
  useLayoutEffect(() => {
    if (body.current && settled) void highlight(body.current);
  }, [html, settled]);
  return <div class="block" ref={body} />;
}

async function highlight(body: Element): Promise<void> {
  const codes = [...body.querySelectorAll("pre[data-language] > code")];
  if (codes.length === 0) return;
  const { highlightedHtml } = await import("../markdown/highlight");
  for (const code of codes) {
    const text = code.textContent ?? "";
    const language = code.parentElement?.dataset["language"] ?? "";
    const html = text.length <= LONGEST_HIGHLIGHTED && code.isConnected ? highlightedHtml(text, language) : null;
    if (html !== null) showHtml(code, html);
  }
}
