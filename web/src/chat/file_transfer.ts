// Files over HTTP. What is sent tells how far it is, which only XMLHttpRequest can; what is read is bytes.
import type { WireAttachment } from "../protocol/frames";
import { refusal, RestError } from "../session/rest";

export interface SentFile {
  readonly file: Blob;
  readonly name: string;
  readonly token: string;
  readonly signal: AbortSignal;
  readonly progress: (sent: number) => void;
}

/** Sends one file, and is told what the server calls it. Rejects with RestError. */
export type SendFile = (wanted: SentFile) => Promise<WireAttachment>;

type Token = (renew: boolean) => Promise<string | null>;

/** Without a sign of life from the network for so long. */
const SILENCE_MS = 60_000;
const LONGEST_READ_MS = 120_000;

/** Do it with a token, once more with a new one where the token is refused. */
export async function withToken<Result>(token: Token, act: (token: string) => Promise<Result>): Promise<Result> {
  for (const renew of [false, true]) {
    const current = await token(renew);
    if (current === null) break;
    try {
      return await act(current);
    } catch (error) {
      if (renew || !(error instanceof RestError) || error.status !== 401) throw error;
    }
  }
  throw new RestError("SIGNED_OUT", "You are signed out", 401);
}

export const sendFile: SendFile = ({ file, name, token, signal, progress }) =>
  new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    let silence: ReturnType<typeof setTimeout> | undefined;
    const heard = (): void => {
      clearTimeout(silence);
      silence = setTimeout(() => request.abort(), SILENCE_MS);
    };
    const failed = (): void => {
      clearTimeout(silence);
      const code = signal.aborted ? "ABORTED" : "UNREACHABLE";
      reject(new RestError(code, "", signal.aborted ? -1 : 0));
    };
    request.open("POST", "/api/attachments");
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("X-Requested-With", "netra");
    request.setRequestHeader("Authorization", `Bearer ${token}`);
    request.upload.addEventListener("progress", ({ loaded, total }) => {
      heard();
      progress(total > 0 ? loaded / total : 0);
    });
    request.addEventListener("load", () => {
      clearTimeout(silence);
      const body = parsed(request.responseText);
      if (request.status === 201) return resolve(body as WireAttachment);
      const headers = { get: (header: string) => request.getResponseHeader(header) };
      reject(refusal({ status: request.status, headers }, body));
    });
    request.addEventListener("error", failed);
    request.addEventListener("abort", failed);
    signal.addEventListener("abort", () => request.abort(), { once: true });
    const form = new FormData();
    form.append("file", file, name);
    heard();
    request.send(form);
  });

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The bytes of a file. They are the person's alone, and no address can carry the token. */
export async function readFile(href: string, token: string): Promise<Blob> {
  const answer = await asked("GET", href, token);
  return answer.blob().catch(() => {
    throw new RestError("UNREACHABLE", "", 0);
  });
}

/** Rejects with ATTACHMENT_NOT_FOUND when the server does not have it any more. */
export async function lookForFile(href: string, token: string): Promise<void> {
  await asked("HEAD", href, token);
}

async function asked(method: "GET" | "HEAD", href: string, token: string): Promise<Response> {
  const headers = { "X-Requested-With": "netra", Authorization: `Bearer ${token}` };
  const given = { method, headers, credentials: "same-origin", cache: "no-cache", signal: AbortSignal.timeout(LONGEST_READ_MS) } as const;
  const answer = await fetch(href, given).catch(() => {
    throw new RestError("UNREACHABLE", "", 0);
  });
  if (answer.ok) return answer;
  const error = refusal(answer, parsed(await answer.text().catch(() => "")));
  // The answer to HEAD has no words.
  throw answer.status === 404 ? new RestError("ATTACHMENT_NOT_FOUND", error.message, 404) : error;
}
