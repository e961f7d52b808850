// What stands before the chat: signing in, registering, a forgotten password, and why one is here.
import { signal } from "@preact/signals";
import type { Me } from "../chat/rest";
import { untilLoaded } from "../chat/retrying";
import type { Farewell } from "../session/session";
import { entranceInAddress, type EntrancePlace, linkInAddress, type ResetLink } from "./place";
import { type AccountOptions, loadOptions } from "./requests";

export class Entrance {
  readonly place;
  /** Why one has to sign in; null when that needs no word. */
  readonly why = signal<Farewell | "reset" | null>(null);
  /** What people can do here by themselves; null until the server has said it. */
  readonly options = signal<AccountOptions | null>(null);
  /** The link of a mail. It lives here only: the address has lost it, and nothing stores it. */
  readonly link = signal<ResetLink | null>(null);
  /** Who is signed in in this browser while a link is open. */
  readonly person = signal<Me | null>(null);

  #asksOptions = false;
  /** Where the chat goes on. */
  #chatAddress = "/";

  constructor() {
    this.place = signal<EntrancePlace>("sign-in");
    this.addressChanged();
  }

  /** The person came here, went back or forward. */
  addressChanged(): void {
    const path = location.pathname;
    const link = linkInAddress(path);
    if (link) history.replaceState(null, "", "/reset");
    this.link.value = link ?? (entranceInAddress(path) === "reset" ? this.link.value : null);
    this.place.value = entranceInAddress(path);
    if (this.place.value === "sign-in") this.#chatAddress = path;
  }

  addressOf(place: EntrancePlace): string {
    return place === "sign-in" ? this.#chatAddress : `/${place}`;
  }

  go(place: EntrancePlace): void {
    // Who is signed in has come by a link of a mail: the page begins anew, with the chat.
    if (place === "sign-in" && this.person.value !== null) {
      location.assign(this.#chatAddress);
      return;
    }
    this.why.value = null;
    history.pushState(null, "", this.addressOf(place));
    this.addressChanged();
  }

  /** The sign-in takes the place of what is shown: nothing leads back to it. */
  signInInstead(why: Farewell | "reset"): void {
    this.link.value = null;
    this.person.value = null;
    this.why.value = why;
    history.replaceState(null, "", this.#chatAddress);
    this.addressChanged();
  }

  /** Somebody has signed in: the address is the chat's again. A new person has nothing at an old one. */
  left(): void {
    if (this.place.value === "register") this.#chatAddress = "/";
    if (entranceInAddress(location.pathname) !== "sign-in") history.replaceState(null, "", this.#chatAddress);
    this.link.value = null;
    this.person.value = null;
    this.why.value = null;
    this.place.value = "sign-in";
  }

  wantOptions(): void {
    if (this.#asksOptions) return;
    this.#asksOptions = true;
    untilLoaded(loadOptions, () => true).then(
      (options) => (this.options.value = options),
      () => (this.#asksOptions = false),
    );
  }
}
