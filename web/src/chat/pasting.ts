// What a paste brings: text, or files. Pure.

/** From this length on text is easier to handle as a file than in a message. */
export const LONG_TEXT = 10_000;

export interface Pasted {
  readonly text: string;
  readonly hasHtml: boolean;
  readonly files: number;
}

/**
 * Programs that copy text with a picture of it beside mean the text; they say it in HTML, too. Who copies a file has its
 * name as text, and no HTML.
 */
export function pasteOf({ text, hasHtml, files }: Pasted, room: number): "files" | "file of text" | "text" {
  if (files > 0 && !(hasHtml && text.trim() !== "")) return "files";
  return text.length >= LONG_TEXT || text.length > room ? "file of text" : "text";
}
