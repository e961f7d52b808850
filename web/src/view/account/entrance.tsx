import type { ComponentChildren, TargetedMouseEvent, VNode } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { Entrance } from "../../account/entrance";
import type { EntrancePlace } from "../../account/place";
import type { Application } from "../../application";
import { words } from "../../words/words";
import { Mark } from "../icons";
import { loadSeldom, seldom } from "../seldom_loaded";
import { SignIn } from "./sign_in";

/** What is seen before there is a chat: what Netra is, and the form of the place. */
export function EntranceScreen({ application }: { readonly application: Application }): VNode {
  const { entrance } = application;
  const place = entrance.place.value;
  useEffect(() => entrance.wantOptions(), [entrance]);
  return (
    <div class="entrance">
      <header class="entrance-name">
        <p class="entrance-brand">
          <Mark />
          {words.app.name}
        </p>
        <p class="entrance-tagline">{words.entrance.tagline}</p>
        <p class="entrance-about">{words.entrance.about}</p>
      </header>
      <main class="entrance-main">
        <Place key={place} application={application} place={place} />
      </main>
    </div>
  );
}

function Place({ application, place }: { readonly application: Application; readonly place: EntrancePlace }): VNode {
  const parts = seldom.value;
  useEffect(() => {
    if (place !== "sign-in") loadSeldom();
  }, [place]);
  if (place === "sign-in") return <SignIn application={application} />;
  if (!parts) return <p class="entrance-waits">{words.app.loading}</p>;
  switch (place) {
    case "register":
      return <parts.Register application={application} />;
    case "forgot":
      return <parts.Forgot entrance={application.entrance} />;
    case "reset":
      return <parts.Reset application={application} />;
  }
}

/** A part of the entrance with its heading. Whoever comes is in its first field, or at its heading where there is none. */
export function Card({ title, children }: { readonly title: string; readonly children: ComponentChildren }): VNode {
  const card = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    document.title = words.app.title(title, 0);
    const heading = card.current?.querySelector("h1");
    // On a touch screen the focus would open the keyboard over the page.
    const field = matchMedia("(pointer: fine)").matches ? card.current?.querySelector("input") : null;
    (field ?? heading)?.focus({ preventScroll: true });
  }, [title]);
  return (
    <div class="entrance-card" ref={card}>
      <h1 tabIndex={-1}>{title}</h1>
      {children}
    </div>
  );
}

interface LinkProps {
  readonly entrance: Entrance;
  readonly to: EntrancePlace;
  readonly children: string;
}

/** A link as others: it can be opened in another tab. */
export function PlaceLink({ entrance, to, children }: LinkProps): VNode {
  const follow = (event: TargetedMouseEvent<HTMLAnchorElement>): void => {
    if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    entrance.go(to);
  };
  return (
    <a href={entrance.addressOf(to)} data-testid={`to-${to}`} onClick={follow}>
      {children}
    </a>
  );
}
