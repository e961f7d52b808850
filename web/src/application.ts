// The page as a whole: who is signed in decides whether there is a chat.
import { signal } from "@preact/signals";
import { Chat } from "./chat/chat";
import { mayBeSignedIn, noteSignedIn } from "./chat/drafts";
import { loadMe } from "./chat/rest";
import { untilLoaded } from "./chat/retrying";
import { systemClock } from "./protocol/clock";
import { dialWebSocket } from "./session/dial";
import { RestError } from "./session/rest";
import { Session, SESSION_CHANNEL } from "./session/session";

export type Screen =
  | { readonly name: "starting"; readonly unreachable: boolean }
  | { readonly name: "sign-in" }
  | { readonly name: "chat"; readonly chat: Chat };

/** A hidden page gets no animation frames: it is drawn by the clock. */
function nextFrame(act: () => void): void {
  if (document.hidden) setTimeout(act, 100);
  else requestAnimationFrame(act);
}

export class Application {
  readonly screen = signal<Screen>({ name: "starting", unreachable: false });

  #session = new Session(
    {
      signedIn: () => void this.#signedIn(),
      renewed: (token) => this.#chat?.delivery.tokenRenewed(token),
      signedOut: () => this.#signedOut(),
      otherPerson: () => location.reload(),
    },
    "BroadcastChannel" in globalThis ? new BroadcastChannel(SESSION_CHANNEL) : null,
  );

  get #chat(): Chat | null {
    return this.screen.value.name === "chat" ? this.screen.value.chat : null;
  }

  async start(): Promise<void> {
    addEventListener("popstate", () => this.#chat?.addressChanged());
    addEventListener("online", () => this.#woken());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.#woken();
    });
    if (!mayBeSignedIn()) {
      this.screen.value = { name: "sign-in" };
      return;
    }
    const token = await this.#patiently(() => this.#session.token());
    if (token === null) this.#signedOut();
  }

  signIn(username: string, password: string): Promise<void> {
    return this.#session.signIn(username, password);
  }

  async signOut(): Promise<void> {
    this.#chat?.drafts.forget();
    this.#chat?.agents.forget();
    this.#chat?.news.forget();
    history.replaceState(null, "", "/");
    this.#signedOut();
    // The server may be out of reach: the cookie then stays, and is worth nothing to this page.
    await this.#session.signOut().catch(() => {});
  }

  /** Load until it succeeds, and say so when the server does not answer. */
  #patiently<Result>(load: () => Promise<Result>): Promise<Result | null> {
    const observed = (): Promise<Result> =>
      load().catch((error: unknown) => {
        if (this.screen.value.name === "starting") this.screen.value = { name: "starting", unreachable: true };
        throw error;
      });
    return untilLoaded(observed, () => this.screen.value.name !== "sign-in");
  }

  async #signedIn(): Promise<void> {
    noteSignedIn(true);
    this.screen.value = { name: "starting", unreachable: false };
    const fetch = this.#session.fetch.bind(this.#session);
    try {
      const me = await this.#patiently(() => loadMe(fetch));
      if (!me) return;
      const token = (renew: boolean): Promise<string | null> => this.#session.token(renew);
      const chat = new Chat({ me, fetch, token, dial: dialWebSocket, clock: systemClock, nextFrame });
      this.screen.value = { name: "chat", chat };
      chat.start();
    } catch (error) {
      if (!(error instanceof RestError)) throw error;
      this.#signedOut();
    }
  }

  #signedOut(): void {
    noteSignedIn(false);
    this.#chat?.close();
    this.screen.value = { name: "sign-in" };
  }

  #woken(): void {
    this.#session.check().catch(() => {});
    this.#chat?.check();
  }
}
