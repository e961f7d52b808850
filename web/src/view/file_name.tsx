import type { VNode } from "preact";
import { cut } from "../chat/draft_files";

const LONGEST = 24;

/** A file's name: text of its own direction, without its middle where it is long. */
export function FileName({ name }: { readonly name: string }): VNode {
  return (
    <bdi class="file-name" title={name}>
      {cut(name, LONGEST)}
    </bdi>
  );
}
