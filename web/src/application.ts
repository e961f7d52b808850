// The page as a whole: who is signed in decides whether there is a chat.
import { signal } from "@preact/signals";
import { Entrance } from "./account/entrance";
import { entranceInAddress } from "./account/place";
import { resetPassword } from "./account/requests";
import { Chat } from "./chat/chat";
import { mayBeSignedIn, noteSignedIn } from "./chat/drafts";
import { OutboxStore } from "./chat/outbox_store";
import { sendFile } from "./chat/file_transfer";
import { loadMe } from "./chat/rest";
import { untilLoaded } from "./chat/retrying";
import { forgetPerson } from "./chat/storage";
import { systemClock } from "./protocol/clock";
import { dialWebSocket } from "./session/dial";
import { RestError } from "./session/rest";
import { type Farewell, type NewPerson, Session, SESSION_CHANNEL } from "./session/session";
import { drawPreview } from "./view/picture";

export type Screen =
  | { readonly name: "starting"; readonly unreachable: boolean }
  | { readonly name: "entrance" }
  | { readonly name: "chat"; readonly chat: Chat };

/** A hidden page gets no animation frames: it is drawn by the clock. */
function nextFrame(act: () => void): void {
  if (document.hidden) setTimeout(act, 100);
  else requestAnimationFrame(act);
}

export class Application {
  readonly screen = signal<Screen>({ name: "starting", unreachable: false });
  readonly entrance = new Entrance();

  #session = new Session(
    {
      signedIn: () => void this.#signedIn(),
      renewed: (token) => this.#chat?.delivery.tokenRenewed(token),
      signedOut: (why) => this.#signedOut(why),
      otherPerson: () => {
        // Who is about to choose a password by a link stays: a reload would lose it.
        if (this.entrance.link.value) return true;
        this.#chat?.close();
        location.replace("/");
        return false;
      },
    },
    "BroadcastChannel" in globalThis ? new BroadcastChannel(SESSION_CHANNEL) : null,
  );

  #person: string | null = null;

  get #chat(): Chat | null {
    return this.screen.value.name === "chat" ? this.screen.value.chat : null;
  }

  async start(): Promise<void> {
    addEventListener("popstate", () => this.#addressChanged());
    // Back from the network's silence, from another tab, from the back-forward cache, from being frozen; `offline` asks the socket, too.
    for (const type of ["online", "offline", "pageshow"]) addEventListener(type, () => this.#woken());
    for (const type of ["visibilitychange", "resume"]) {
      document.addEventListener(type, () => {
        if (!document.hidden) this.#woken();
      });
    }
    addEventListener("storage", (event) => this.#chat?.stored(event));
    if (!mayBeSignedIn() || this.entrance.link.value) this.screen.value = { name: "entrance" };
    if (!mayBeSignedIn()) return;
    const token = await this.#patiently(() => this.#session.token());
    if (token === null) this.#signedOut("ended");
  }

  signIn(username: string, password: string): Promise<void> {
    return this.#session.signIn(username, password);
  }

  /** Whoever signed in elsewhere: the proxy says it, or a page of the provider's has left the cookie here. */
  async signInElsewhere(): Promise<void> {
    if (this.entrance.options.value?.exchange === "proxy") return this.#session.signInByProxy();
    if ((await this.#session.token(true)) === null) location.assign(this.entrance.options.value?.sign_in_url ?? "/");
  }

  register(person: NewPerson): Promise<void> {
    return this.#session.register(person);
  }

  changePassword(oldPassword: string, newPassword: string): Promise<void> {
    return this.#session.changePassword(oldPassword, newPassword);
  }

  /** All sessions of the person end, this one, too. */
  signOutEverywhere(): Promise<void> {
    return this.#session.endAll();
  }

  /**
   * Choose a password by the link of a mail. That ends the sessions of the link's person: if it is who is signed in
   * here, or nobody is, the sign-in follows. True when somebody else is signed in, and stays so.
   */
  async resetPassword(password: string): Promise<boolean> {
    const link = this.entrance.link.value;
    if (!link) return false;
    await resetPassword(link, password);
    const stays = this.entrance.person.value !== null && (await this.#session.token(true).catch(() => null)) !== null;
    if (!stays) this.entrance.signInInstead("reset");
    return stays;
  }

  /** Who chose somebody else's password signs out, to sign in with it. */
  async signOutAfterReset(): Promise<void> {
    this.entrance.signInInstead("reset");
    noteSignedIn(false);
    await this.#session.signOut().catch(() => {});
  }

  /** Leave the link of a mail, and go on as who is signed in. */
  async goOn(): Promise<void> {
    this.entrance.left();
    await this.#signedIn();
  }

  async signOut(): Promise<void> {
    this.#chat?.leave();
    this.#chat?.agents.forget();
    this.#chat?.news.forget();
    history.replaceState(null, "", "/");
    this.#signedOut("left");
    // The server may be out of reach: the cookie then stays, and is worth nothing to this page.
    await this.#session.signOut().catch(() => {});
  }

  /** Afterwards nothing of the person is left in this browser either. Rejects with RestError when the account stays. */
  deleteAccount(password: string): Promise<void> {
    return this.#session.deleteAccount(password);
  }

  /** Load until it succeeds, and say so when the server does not answer. */
  #patiently<Result>(load: () => Promise<Result>): Promise<Result | null> {
    const observed = (): Promise<Result> =>
      load().catch((error: unknown) => {
        if (this.screen.value.name === "starting") this.screen.value = { name: "starting", unreachable: true };
        throw error;
      });
    return untilLoaded(observed, () => this.screen.value.name !== "entrance" || this.entrance.link.value !== null);
  }

  async #signedIn(): Promise<void> {
    noteSignedIn(true);
    if (!this.entrance.link.value) this.screen.value = { name: "starting", unreachable: false };
    const fetch = this.#session.fetch.bind(this.#session);
    try {
      const me = await this.#patiently(() => loadMe(fetch));
      if (!me) return;
      if (this.entrance.link.value) {
        this.entrance.person.value = me;
        return;
      }
      const outbox = await OutboxStore.open(String(me.id));
      if (this.screen.value.name !== "starting") {
        // Signed out meanwhile.
        outbox.close();
        return;
      }
      this.entrance.left();
      const token = (renew: boolean): Promise<string | null> => this.#session.token(renew);
      this.#person = String(me.id);
      const fetchFile = this.#session.fetchFile.bind(this.#session);
      const chat = new Chat({ me, fetch, fetchFile, outbox, token, dial: dialWebSocket, clock: systemClock, nextFrame, sendFile, drawPreview });
      this.screen.value = { name: "chat", chat };
      chat.start();
    } catch (error) {
      if (!(error instanceof RestError)) throw error;
      this.#signedOut("ended");
    }
  }

  #signedOut(why: Farewell): void {
    noteSignedIn(false);
    const { entrance, screen } = this;
    entrance.person.value = null;
    if (screen.value.name === "entrance") {
      // The word of the tab that ended all sessions can come after this one has found its own ended.
      if (entrance.why.value === "ended" || why === "deleted") entrance.why.value = why;
      if (why === "deleted") this.#forgetPerson();
      return;
    }
    this.#chat?.close();
    if (why === "deleted") this.#forgetPerson();
    entrance.why.value = why;
    entrance.addressChanged();
    screen.value = { name: "entrance" };
  }

  /** Of who was signed in last. Whoever comes next begins anew. */
  #forgetPerson(): void {
    if (this.#person !== null) forgetPerson(this.#person);
    if (entranceInAddress(location.pathname) === "sign-in") history.replaceState(null, "", "/");
    this.entrance.addressChanged();
  }

  #addressChanged(): void {
    if (this.screen.value.name === "entrance") {
      this.entrance.addressChanged();
      return;
    }
    // Who is signed in has no business at the entrance.
    if (entranceInAddress(location.pathname) !== "sign-in") history.replaceState(null, "", "/");
    this.#chat?.addressChanged();
  }

  #woken(): void {
    if (this.#chat && !mayBeSignedIn()) {
      // Another tab has signed out while this one heard nothing.
      this.#session.ended();
      return;
    }
    this.#session.check().catch(() => {});
    this.#chat?.check();
  }
}
