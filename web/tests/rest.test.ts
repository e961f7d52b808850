// One JSON request, and how it ends without an answer.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { request, RestError } from "../src/session/rest";

const fetched = globalThis.fetch;
afterEach(() => {
  globalThis.fetch = fetched;
});

/** A head, and a body that breaks off behind its beginning. */
function brokenOff(status: number): Response {
  const body = new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode('{"since": '));
      controller.error(new TypeError("the connection was closed"));
    },
  });
  return new Response(body, { status });
}

test("an answer that is broken off after its head is none", async () => {
  globalThis.fetch = async () => brokenOff(200);
  const wanted = { method: "GET", path: "/api/usage" } as const;
  await assert.rejects(request(wanted), (error: RestError) => error.code === "UNREACHABLE");
  const given = AbortSignal.abort();
  await assert.rejects(request({ ...wanted, signal: given }), (error: RestError) => error.code === "ABORTED");
  globalThis.fetch = async () => brokenOff(404);
  await assert.rejects(request(wanted), (error: RestError) => error.code === "HTTP_404");
});
