// A file of the person's, fetched with the token, which no link can carry, and then given to the browser to keep.
import { RestError } from "../session/rest";

/** Rejects with RestError when the answer is no file. */
export type FetchFile = (path: string, signal: AbortSignal) => Promise<Response>;

export interface Download {
  readonly signal: AbortSignal;
  /** How much has come so far. */
  readonly came?: (bytes: number) => void;
}

export interface Downloaded {
  readonly name: string;
  readonly content: Blob;
}

const PORTION_BYTES = 4_000_000;
const LONGEST_SILENCE_MS = 60_000;

/**
 * Read a file of any size. What has come is handed to the browser in portions, as blobs, which it keeps outside of the
 * page's memory, and on the disk when there are many.
 */
export async function downloaded(fetchFile: FetchFile, path: string, { signal, came }: Download): Promise<Downloaded> {
  const silence = new AbortController();
  const answer = await fetchFile(path, AbortSignal.any([signal, silence.signal]));
  const kind = answer.headers.get("Content-Type") ?? "";
  const portions: Blob[] = [];
  let portion: BlobPart[] = [];
  let [size, bytes] = [0, 0];
  const handOver = (): void => {
    portions.push(new Blob(portion));
    [portion, size] = [[], 0];
  };
  let timer: ReturnType<typeof setTimeout> | undefined;
  const listen = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), LONGEST_SILENCE_MS);
  };
  try {
    listen();
    for (const reader = answer.body?.getReader(); reader; ) {
      const { done, value } = await reader.read();
      if (done) break;
      listen();
      portion.push(value);
      bytes += value.length;
      size += value.length;
      if (size >= PORTION_BYTES) handOver();
      came?.(bytes);
    }
  } catch {
    if (signal.aborted) throw new RestError("ABORTED", "Nobody waits for the file any more", -1);
    throw new RestError("BROKEN_OFF", "The file did not come to its end", 0);
  } finally {
    clearTimeout(timer);
  }
  handOver();
  return { name: nameIn(answer.headers) ?? path.slice(path.lastIndexOf("/") + 1), content: new Blob(portions, { type: kind }) };
}

/** The name that the server gives a file. */
export function nameIn(headers: Headers): string | null {
  const name = /filename="([^"/\\]+)"/.exec(headers.get("Content-Disposition") ?? "")?.[1];
  return name ?? null;
}

const KEPT_FOR_MS = 60_000;

/** The browser saves it where it saves everything. */
export function save({ name, content }: Downloaded): void {
  const address = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  // Not before the browser has begun.
  setTimeout(() => URL.revokeObjectURL(address), KEPT_FOR_MS);
}
