// Who is signed in. The access token lives in memory only; the refresh token is a cookie that no script can read.
import { request, requestFile, RestError, type RestRequest } from "./rest";

/** Why there is no session any more: signed out here or everywhere, deleted here, deactivated, or ended by what the page cannot know. */
export type Farewell = "left" | "everywhere" | "deleted" | "deactivated" | "ended";

export interface NewPerson {
  readonly username: string;
  readonly email?: string;
  readonly password: string;
}

export interface SessionEvents {
  signedIn(): void;
  /** A new access token replaced the one before. */
  renewed(token: string): void;
  signedOut(why: Farewell): void;
  /** Another tab signed in as somebody else: nothing on this page is theirs. True when the page goes on as them all the same. */
  otherPerson(): boolean;
}

interface Access {
  readonly token: string;
  readonly expiresAt: number;
  readonly livesMs: number;
}

/** Before the server's `token_expiring`, which is the net for a page whose timer was late. */
const AHEAD_MS = 75_000;
const TOO_CLOSE_MS = 10_000;
const OTHER_TAB_MS = 500;
/** Soon enough for the server to give the same answer again, should it have been lost. */
const AGAIN_MS = 5_000;
export const SESSION_CHANNEL = "netra-session";

export class Session {
  #events: SessionEvents;
  #access: Access | null = null;
  #subject: string | null = null;
  #renewing: Promise<string | null> | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #tabs: BroadcastChannel | null;

  /** `tabs` is the channel to the other tabs of this browser. */
  constructor(events: SessionEvents, tabs: BroadcastChannel | null) {
    this.#events = events;
    this.#tabs = tabs;
    this.#tabs?.addEventListener("message", (message: MessageEvent<unknown>) => this.#otherTab(message.data));
  }

  signIn(username: string, password: string): Promise<void> {
    return this.#begin({ path: "/api/auth/token", body: { username, password } });
  }

  /** As whom the proxy before the server says. */
  signInByProxy(): Promise<void> {
    return this.#begin({ path: "/api/auth/exchange", body: {} });
  }

  register(person: NewPerson): Promise<void> {
    return this.#begin({ path: "/api/auth/register", body: person });
  }

  /** All sessions end, and this browser gets a new one. Its other tabs wait for the new cookie, which the lock keeps from them. */
  changePassword(oldPassword: string, newPassword: string): Promise<void> {
    const body = { old_password: oldPassword, new_password: newPassword };
    return this.#inTheName((token) => this.#begin({ path: "/api/me/password", body, token }));
  }

  /** Nobody is signed in as this person any more, here neither. */
  endAll(): Promise<void> {
    return this.#end("everywhere", { method: "POST", path: "/api/me/sessions/end", body: {} });
  }

  /** There is no such person any more. */
  deleteAccount(password: string): Promise<void> {
    return this.#end("deleted", { method: "DELETE", path: "/api/me", body: { password } });
  }

  /** Something that ends all sessions. */
  async #end(why: "everywhere" | "deleted", wanted: Omit<RestRequest, "token">): Promise<void> {
    await this.#inTheName((token) =>
      exclusively(async () => {
        await request({ ...wanted, token });
        this.#forget();
      }),
    );
    this.#tabs?.postMessage(why);
    this.#events.signedOut(why);
  }

  async #begin({ body, ...wanted }: { readonly path: string; readonly body: object; readonly token?: string }): Promise<void> {
    const given = { ...body, session: "cookie" };
    await exclusively(async () => this.#keep(await request({ ...wanted, method: "POST", body: given })));
    this.#tabs?.postMessage("signed-in");
  }

  async signOut(): Promise<void> {
    this.#forget();
    await exclusively(() => request({ method: "POST", path: "/api/auth/logout", body: {} }));
    this.#tabs?.postMessage("signed-out");
  }

  /** An access token that is good for now; null when nobody is signed in. Rejects when the server cannot tell. */
  async token(renew = false): Promise<string | null> {
    if (!renew && this.#access && !this.#endsWithin(TOO_CLOSE_MS)) return this.#access.token;
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = null;
    });
    return this.#renewing;
  }

  /** Timers of a sleeping tab come late: look again when it wakes. */
  async check(): Promise<void> {
    if (this.#access && this.#endsWithin(AHEAD_MS)) await this.token(true);
  }

  /** Somebody has signed out in another tab. */
  ended(): void {
    if (!this.#access) return;
    this.#forget();
    this.#events.signedOut("left");
  }

  /** A token that lives for seconds is not renewed all the time: half of its life is enough. */
  #endsWithin(milliseconds: number): boolean {
    const { expiresAt, livesMs } = this.#access as Access;
    return expiresAt - Date.now() < Math.min(milliseconds, livesMs / 2);
  }

  /** A request in the name of the person, repeated once with a new token when the token is refused. */
  fetch(wanted: Omit<RestRequest, "token">): Promise<unknown> {
    return this.#inTheName((token) => request({ ...wanted, token }));
  }

  async #inTheName<Result>(act: (token: string) => Promise<Result>): Promise<Result> {
    try {
      return await act(await this.#required(false));
    } catch (error) {
      if (!(error instanceof RestError) || error.status !== 401) throw error;
      return act(await this.#required(true));
    }
  }

  /** A file of the person's, as its answer begins. */
  fetchFile(path: string, signal: AbortSignal): Promise<Response> {
    return this.#inTheName((token) => requestFile({ path, signal, token }));
  }

  async #required(renew: boolean): Promise<string> {
    const token = await this.token(renew);
    if (token === null) throw new RestError("SIGNED_OUT", "You are signed out", 401);
    return token;
  }

  async #renew(): Promise<string | null> {
    const wasSignedIn = this.#access !== null;
    const token = await exclusively(async () => (await this.#renewOnce()) ?? (wasSignedIn ? this.#renewAfterOtherTab() : null));
    if (token !== null) return token;
    const last = this.#access;
    this.#forget();
    // Whoever has signed out meanwhile, here or in another tab, has said so.
    if (last) this.#events.signedOut(await farewellOf(last.token));
    return null;
  }

  async #renewOnce(): Promise<string | null> {
    try {
      return this.#keep(await request({ method: "POST", path: "/api/auth/token/refresh", body: {} }));
    } catch (error) {
      if (error instanceof RestError && error.status === 401) return null;
      throw error;
    }
  }

  /** Without locks two tabs can spend the same cookie: the later one finds the other's new cookie a moment afterwards. */
  async #renewAfterOtherTab(): Promise<string | null> {
    if (locks()) return null;
    await new Promise((resolve) => setTimeout(resolve, OTHER_TAB_MS));
    return this.#renewOnce();
  }

  #keep(answer: unknown): string {
    const { access, expires_in: seconds } = answer as { access: string; expires_in: number };
    const subject = subjectOf(access);
    if (this.#subject !== null && subject !== this.#subject) {
      this.#forget();
      // What this page still has to send is not sent in their name.
      if (!this.#events.otherPerson()) throw new RestError("OTHER_PERSON", "Another person has signed in", -1);
    }
    const first = this.#access === null;
    this.#subject = subject;
    this.#access = { token: access, expiresAt: Date.now() + seconds * 1000, livesMs: seconds * 1000 };
    this.#renewAfter(Math.max(seconds * 500, seconds * 1000 - AHEAD_MS));
    if (first) this.#events.signedIn();
    else this.#events.renewed(access);
    return access;
  }

  #renewAfter(milliseconds: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.token(true).catch(() => {
        if (this.#access) this.#renewAfter(AGAIN_MS);
      });
    }, milliseconds);
  }

  #forget(): void {
    clearTimeout(this.#timer);
    this.#access = null;
    this.#subject = null;
  }

  #otherTab(what: unknown): void {
    if (what === "signed-out") this.ended();
    else if (what === "everywhere" || what === "deleted") {
      this.#forget();
      this.#events.signedOut(what);
    } else if (what === "signed-in") {
      void this.token(true).catch(() => {});
    }
  }
}

/** Ask with a token that is good for nothing any more. */
async function farewellOf(token: string): Promise<Farewell> {
  try {
    await request({ method: "GET", path: "/api/me", token });
  } catch (error) {
    if (error instanceof RestError && error.code === "USER_INACTIVE") return "deactivated";
  }
  return "ended";
}

/** Tabs share the refresh cookie, which a sign-in, a sign-out or a use may replace: one of them at a time. */
async function exclusively<Result>(act: () => Promise<Result>): Promise<Result> {
  return locks()?.request(SESSION_CHANNEL, act) ?? act();
}

/** Browsers have locks in secure contexts only. */
function locks(): LockManager | undefined {
  return (globalThis as { readonly navigator?: Partial<Navigator> }).navigator?.locks;
}

/** Whom a token names. Not a check of the token: the server does that. */
function subjectOf(token: string): string {
  try {
    const payload = (token.split(".")[1] ?? "").replace(/-/g, "+").replace(/_/g, "/");
    const claims = JSON.parse(atob(payload)) as Record<string, unknown>;
    return String(claims["user_id"] ?? claims["sub"] ?? "");
  } catch {
    return "";
  }
}
