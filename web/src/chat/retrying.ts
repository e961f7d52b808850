// A load that repeats itself until it succeeds or nobody wants it any more.
import { backoff } from "../protocol/reconnecting";
import { RestError } from "../session/rest";

/** Errors that another attempt can cure: no answer, too many requests, a server in trouble. */
export function isPassing(error: unknown): error is RestError {
  return error instanceof RestError && (error.status === 0 || error.status === 429 || error.status >= 500);
}

export async function untilLoaded<Result>(load: () => Promise<Result>, wanted: () => boolean): Promise<Result | null> {
  for (let failures = 0; wanted(); failures += 1) {
    try {
      return await load();
    } catch (error) {
      if (!isPassing(error)) throw error;
      const delay = Math.max((error.retryAfter ?? 0) * 1000, backoff(failures, Math.random));
      await new Promise((resolve) => setTimeout(resolve, delay));
    }
  }
  return null;
}
