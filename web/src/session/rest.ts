// One JSON request to the server, and its error as a value with a code.

export class RestError extends Error {
  readonly code: string;
  readonly status: number;
  readonly retryAfter: number | null;
  readonly correlationId: string | null;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: string,
    message: string,
    status: number,
    retryAfter: number | null = null,
    correlationId: string | null = null,
    details: Readonly<Record<string, unknown>> = {},
  ) {
    super(message);
    this.code = code;
    this.details = details;
    this.status = status;
    this.retryAfter = retryAfter;
    this.correlationId = correlationId;
  }
}

export interface RestRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly body?: unknown;
  readonly token?: string;
  /** The entity tags under which the caller has seen what it changes. */
  readonly ifMatch?: string;
  /** Ends the request: it rejects with ABORTED. */
  readonly signal?: AbortSignal;
  /** Is told the headers of the answer. */
  readonly heard?: (headers: Headers) => void;
}

export interface FileRequest {
  readonly path: string;
  readonly token: string;
  readonly signal: AbortSignal;
}

/** The answer as it begins: it may take as long as it is long. Rejects with RestError when it is no file. */
export async function requestFile({ signal, ...wanted }: FileRequest): Promise<Response> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), LONGEST_REQUEST_MS);
  const answer = await sent({ ...wanted, method: "GET", signal }, late.signal).finally(() => clearTimeout(timer));
  if (answer.ok) return answer;
  throw refusal(answer, parsed(await answer.text().catch(() => "")));
}

const LONGEST_REQUEST_MS = 20_000;

/** Send it and read the JSON of the answer; undefined when it has none. Rejects with RestError. */
export async function request(wanted: RestRequest): Promise<unknown> {
  const answer = await sent(wanted);
  wanted.heard?.(answer.headers);
  const text = await answer.text().catch(() => {
    // An answer that was broken off after its head is none.
    if (answer.ok) throw lost(wanted.signal);
    return "";
  });
  const body = parsed(text);
  if (answer.ok) return body;
  throw refusal(answer, body);
}

async function sent({ method, path, body, token, ifMatch, signal: given }: RestRequest, limit = AbortSignal.timeout(LONGEST_REQUEST_MS)): Promise<Response> {
  const headers: Record<string, string> = { Accept: "application/json", "X-Requested-With": "netra" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (token !== undefined) headers["Authorization"] = `Bearer ${token}`;
  if (ifMatch !== undefined) headers["If-Match"] = ifMatch;
  const content = body === undefined ? null : JSON.stringify(body);
  try {
    const signal = given ? AbortSignal.any([given, limit]) : limit;
    return await fetch(path, { method, headers, body: content, credentials: "same-origin", cache: "no-store", signal });
  } catch {
    throw lost(given);
  }
}

function lost(given: AbortSignal | undefined): RestError {
  if (given?.aborted) return new RestError("ABORTED", "Nobody waits for the answer any more", -1);
  return new RestError("UNREACHABLE", "The server cannot be reached", 0);
}

function parsed(text: string): unknown {
  try {
    return text === "" ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The error in an answer. */
export function refusal(answer: { readonly status: number; readonly headers: Pick<Headers, "get"> }, body: unknown): RestError {
  const given = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
  const text = (name: string): string | null => (typeof given[name] === "string" ? given[name] : null);
  const seconds = Number.parseFloat(answer.headers.get("Retry-After") ?? "");
  return new RestError(
    text("error_code") ?? `HTTP_${answer.status}`,
    text("error_message") ?? text("detail") ?? `The server answered ${answer.status}`,
    answer.status,
    Number.isFinite(seconds) ? seconds : null,
    text("correlation_id") ?? answer.headers.get("X-Correlation-ID"),
    typeof given["details"] === "object" && given["details"] !== null ? (given["details"] as Record<string, unknown>) : {},
  );
}
