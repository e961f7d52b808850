import type { VNode } from "preact";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import type { Block, MarkdownStream } from "../markdown/blocks";
import { highlighter } from "../markdown/highlighter";
import { type Reader, reader } from "../markdown/loaded";
import { useCodeButtons } from "./code_buttons";
import { memo } from "./memo";

interface MarkdownProps {
  readonly text: string;
  readonly growing: boolean;
}

/** Markdown that may still grow. Blocks that did not change are not touched. */
export function Markdown({ text, growing }: MarkdownProps): VNode {
  return reader.value ? <Blocks reader={reader.value} text={text} growing={growing} /> : <div class="block unread">{text}</div>;
}

function Blocks({ reader: { MarkdownStream, showHtml }, text, growing }: MarkdownProps & { readonly reader: Reader }): VNode {
  const stream = useRef<MarkdownStream | null>(null);
  stream.current ??= new MarkdownStream();
  const source = stream.current;
  const blocks = useMemo(() => (growing ? source.update(text) : source.finish(text)), [source, text, growing]);
  return (
    <>
      {blocks.map((block, place) => (
        <MarkdownBlock key={place} html={block.html} settled={block.settled} showHtml={showHtml} />
      ))}
    </>
  );
}

type BlockProps = Block & Pick<Reader, "showHtml">;

const MarkdownBlock = memo((block: BlockProps) => <BlockBody {...block} />);

function BlockBody({ html, settled, showHtml }: BlockProps): VNode {
  const body = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    if (body.current) showHtml(body.current, html);
  }, [html]);
  useLayoutEffect(() => {
    if (body.current && settled) void highlight(body.current, showHtml);
  }, [html, settled]);
  useCodeButtons(body, html, settled);
  return <div class="block" ref={body} />;
}

async function highlight(body: Element, showHtml: Reader["showHtml"]): Promise<void> {
  const codes = [...body.querySelectorAll("pre[data-language] > code")];
  if (codes.length === 0) return;
  const { highlightedHtml } = await highlighter();
  for (const code of codes) {
    const text = code.textContent ?? "";
    const language = code.parentElement?.dataset["language"] ?? "";
    const html = code.isConnected ? highlightedHtml(text, language) : null;
    if (html !== null) showHtml(code, html);
  }
}
