// Text as the server takes it: UTF-8, or UTF-16 with its mark.

/** More is no page to read. */
const LONGEST_BYTES = 512 * 1024;

export interface Beginning {
  readonly text: string;
  /** How much of the file that is. */
  readonly bytes: number;
}

export async function beginning(file: Blob, longest = LONGEST_BYTES): Promise<Beginning> {
  const bytes = new Uint8Array(await file.slice(0, longest).arrayBuffer());
  const mark = bytes[0] === 0xff && bytes[1] === 0xfe ? "utf-16le" : bytes[0] === 0xfe && bytes[1] === 0xff ? "utf-16be" : "utf-8";
  // What the end cuts in two is left out.
  return { text: new TextDecoder(mark).decode(bytes, { stream: bytes.length < file.size }), bytes: bytes.length };
}
