import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { RestError } from "../src/session/rest";
import { Session } from "../src/session/session";

type Reply = { readonly status: number; readonly body?: unknown; readonly headers?: Record<string, string> };
type Serve = (path: string, request: RequestInit) => Reply | Promise<Reply>;

const realFetch = globalThis.fetch;
let asked: { readonly path: string; readonly headers: Record<string, string>; readonly body: unknown }[] = [];
let serve: Serve;
let happened: string[] = [];
let session: Session;

function tokenOf(user: string, name: string): string {
  return `h.${Buffer.from(JSON.stringify({ user_id: user })).toString("base64url")}.${name}`;
}

const access = (name: string, user = "1"): Reply => ({ status: 200, body: { access: tokenOf(user, name), expires_in: 300 } });
const refused: Reply = { status: 401, body: { error_code: "NO_TOKEN", error_message: "There is no refresh token" } };

beforeEach(() => {
  asked = [];
  happened = [];
  globalThis.fetch = (async (path: string, request: RequestInit) => {
    const headers = request.headers as Record<string, string>;
    asked.push({ path, headers, body: request.body ? JSON.parse(String(request.body)) : null });
    const { status, body, headers: given } = await serve(path, request);
    return new Response(body === undefined ? null : JSON.stringify(body), { status, headers: given ?? {} });
  }) as typeof fetch;
  session = new Session(
    {
      signedIn: () => happened.push("in"),
      renewed: () => happened.push("renewed"),
      signedOut: (why) => happened.push(why),
      otherPerson: () => happened.push("other") < 0,
    },
    null,
  );
});

afterEach(async () => {
  serve = () => ({ status: 204 });
  // Ends the timer of the next renewal.
  await session.signOut();
  globalThis.fetch = realFetch;
});

test("signing in asks for a cookie and keeps the access token", async () => {
  serve = () => access("first");
  await session.signIn("ada", "lovelace");
  assert.deepEqual(asked[0]?.body, { username: "ada", password: "lovelace", session: "cookie" });
  assert.equal(asked[0]?.headers["X-Requested-With"], "netra");
  assert.equal(await session.token(), tokenOf("1", "first"));
  assert.equal(asked.length, 1);
  assert.deepEqual(happened, ["in"]);
});

test("whom a proxy has signed in is signed in without a password, for the cookie", async () => {
  serve = () => access("one");
  await session.signInByProxy();
  assert.deepEqual(asked.map(({ path }) => path), ["/api/auth/exchange"]);
  assert.deepEqual(happened, ["in"]);
});

test("a wrong password is a coded error", async () => {
  serve = () => ({ status: 401, body: { error_code: "INVALID_CREDENTIALS", error_message: "wrong" } });
  await assert.rejects(session.signIn("ada", "x"), (error) => error instanceof RestError && error.code === "INVALID_CREDENTIALS");
  assert.deepEqual(happened, []);
});

test("many wishes for a token are one request", async () => {
  serve = () => access("one");
  await Promise.all([session.token(), session.token(true), session.token()]);
  assert.deepEqual(asked.map(({ path }) => path), ["/api/auth/token/refresh"]);
});

test("nobody is signed in without a cookie, and that is no error", async () => {
  serve = () => refused;
  assert.equal(await session.token(), null);
  assert.deepEqual(happened, []);
});

test("a refused access token is renewed once and the request repeated", async () => {
  let valid = "first";
  serve = (path, request) => {
    if (path.startsWith("/api/auth")) return access(valid);
    const given = (request.headers as Record<string, string>)["Authorization"];
    return given === `Bearer ${tokenOf("1", "second")}` ? { status: 200, body: { id: 1 } } : { status: 401, body: {} };
  };
  await session.token();
  valid = "second";
  assert.deepEqual(await session.fetch({ method: "GET", path: "/api/me" }), { id: 1 });
  assert.deepEqual(happened, ["in", "renewed"]);
});

test("a session that ended is looked for once more, for another tab may have renewed it, and then signed out", async () => {
  serve = () => access("first");
  await session.token();
  serve = () => refused;
  assert.equal(await session.token(true), null);
  assert.deepEqual(happened, ["in", "ended"]);
  assert.deepEqual(asked.slice(1).map(({ path }) => path), ["/api/auth/token/refresh", "/api/auth/token/refresh", "/api/me"]);
});

test("who was deactivated is told so", async () => {
  serve = () => access("first");
  await session.token();
  serve = (path) => (path === "/api/me" ? { status: 401, body: { error_code: "USER_INACTIVE", error_message: "" } } : refused);
  assert.equal(await session.token(true), null);
  assert.deepEqual(happened, ["in", "deactivated"]);
});

test("who registers is signed in", async () => {
  serve = () => ({ ...access("first"), status: 201 });
  await session.register({ username: "ada", password: "lovelace" });
  assert.deepEqual(asked.map(({ path, body }) => [path, body]), [["/api/auth/register", { username: "ada", password: "lovelace", session: "cookie" }]]);
  assert.deepEqual(happened, ["in"]);
});

test("a changed password gives this session a new token", async () => {
  serve = () => access("first");
  await session.token();
  serve = () => access("second");
  await session.changePassword("old", "new");
  assert.deepEqual(asked[1]?.body, { old_password: "old", new_password: "new", session: "cookie" });
  assert.equal(asked[1]?.headers["Authorization"], `Bearer ${tokenOf("1", "first")}`);
  assert.equal(await session.token(), tokenOf("1", "second"));
  assert.deepEqual(happened, ["in", "renewed"]);
});

test("a password that is not changed changes nothing", async () => {
  serve = () => access("first");
  await session.token();
  serve = () => ({ status: 403, body: { error_code: "WRONG_PASSWORD", error_message: "" } });
  await assert.rejects(session.changePassword("old", "new"), (error) => error instanceof RestError && error.code === "WRONG_PASSWORD");
  assert.equal(await session.token(), tokenOf("1", "first"));
  assert.deepEqual(happened, ["in"]);
});

test("after signing out everywhere there is no token, and it is said once why", async () => {
  serve = () => access("first");
  await session.token();
  serve = (path) => (path === "/api/me/sessions/end" ? { status: 204 } : refused);
  await session.endAll();
  assert.deepEqual(happened, ["in", "everywhere"]);
  assert.equal(await session.token(), null);
  assert.deepEqual(happened, ["in", "everywhere"]);
});

test("a renewal that fails while all sessions are ended says nothing of its own", async () => {
  serve = () => access("first");
  await session.token();
  serve = async (path) => {
    if (path !== "/api/me/sessions/end") return refused;
    renewal = session.token(true);
    return { status: 204 };
  };
  let renewal: Promise<string | null> = Promise.resolve(null);
  await session.endAll();
  assert.equal(await renewal, null);
  assert.deepEqual(happened, ["in", "everywhere"]);
});

test("a tab whose cookie another tab has just replaced stays signed in", async () => {
  serve = () => access("first");
  await session.token();
  let tries = 0;
  serve = () => ((tries += 1) === 1 ? refused : access("second"));
  assert.equal(await session.token(true), tokenOf("1", "second"));
  assert.deepEqual(happened, ["in", "renewed"]);
});

test("a server that does not answer signs nobody out", async () => {
  serve = () => access("first");
  await session.token();
  serve = () => Promise.reject(new TypeError("network"));
  await assert.rejects(session.token(true), (error) => error instanceof RestError && error.code === "UNREACHABLE");
  serve = () => ({ status: 503, body: { error_code: "SERVICE_UNAVAILABLE", error_message: "" }, headers: { "Retry-After": "7" } });
  await assert.rejects(session.token(true), (error) => error instanceof RestError && error.retryAfter === 7);
  assert.deepEqual(happened, ["in"]);
  assert.equal(await session.token(), tokenOf("1", "first"));
});

test("a token of somebody else means that another tab signed in as another person", async () => {
  serve = () => access("first");
  await session.token();
  serve = () => access("second", "2");
  await assert.rejects(session.token(true), (error) => error instanceof RestError && error.code === "OTHER_PERSON");
  assert.deepEqual(happened, ["in", "other"], "nothing is sent in the name of the other person");
});

test("a token that lives for seconds is not asked for again at each request", async () => {
  serve = () => ({ status: 200, body: { access: tokenOf("1", "short"), expires_in: 9 } });
  await session.token();
  await session.check();
  await session.token();
  assert.equal(asked.length, 1);
});

test("somebody who signed out elsewhere is signed out here, once", async () => {
  serve = () => access("first");
  await session.token();
  session.ended();
  session.ended();
  assert.deepEqual(happened, ["in", "left"]);
});

test("an answer that is no JSON is still a readable error", async () => {
  serve = () => ({ status: 502 });
  await assert.rejects(session.token(), (error) => error instanceof RestError && error.code === "HTTP_502" && error.status === 502);
});
