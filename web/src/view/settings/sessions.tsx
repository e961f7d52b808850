import type { VNode } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { Session } from "../../settings/rest";
import { agentName, Sessions } from "../../settings/sessions";
import { settingsWords } from "../../words/settings_words";
import { format, words } from "../../words/words";
import { announce } from "../announcer";
import type { SectionProps } from "./page";
import { Failure, Setting, useAttempt } from "./parts";

/** Where the person is signed in, and signing out there. */
export function SessionList({ application, chat }: SectionProps): VNode {
  const sessions = useMemo(() => new Sessions(chat.fetch), [chat]);
  const list = useRef<HTMLUListElement>(null);
  useEffect(() => void sessions.more(), [sessions]);
  /** Its button is gone, and with it where the focus was. */
  const ended = (place: number): void => {
    announce(settingsWords.signedOutThere);
    requestAnimationFrame(() => {
      const buttons = [...(list.current?.querySelectorAll("button") ?? [])];
      buttons[Math.min(place, buttons.length - 1)]?.focus();
    });
  };
  return (
    <Setting title={settingsWords.sessions} about={settingsWords.sessionsAbout}>
      <ul class="sessions" ref={list}>
        {sessions.rows.value.map((session, place) => (
          <SessionRow
            key={session.id}
            session={session}
            end={() => (session.current ? application.signOut() : sessions.end(session))}
            done={() => ended(place)}
          />
        ))}
      </ul>
      {sessions.loading.value && !sessions.loaded.value ? <p class="setting-note appear">{words.app.loading}</p> : null}
      {sessions.failure.value ? <Failure error={sessions.failure.value} again={() => void sessions.more()} /> : null}
      {sessions.loaded.value && sessions.hasMore.value ? (
        <button type="button" class="setting-button" data-testid="more-sessions" disabled={sessions.loading.value} onClick={() => void sessions.more()}>
          {settingsWords.moreSessions}
        </button>
      ) : null}
    </Setting>
  );
}

interface RowProps {
  readonly session: Session;
  readonly end: () => Promise<void>;
  readonly done: () => void;
}

function SessionRow({ session, end, done }: RowProps): VNode {
  const { busy, failure, act } = useAttempt(end);
  const { name, system } = agentName(session.agent);
  const said = name === "" ? settingsWords.unknownAgent : system === null ? name : settingsWords.ofBrowser(name, system);
  const times = settingsWords.sessionTimes(format.dateTime(new Date(session.last_used_at)), format.day(new Date(session.created_at)));
  const answer = async (): Promise<void> => {
    if ((await act()) && !session.current) done();
  };
  return (
    <li class="session" data-testid="session" data-session={session.id}>
      <p title={session.agent}>
        <bdi>{said}</bdi>
        {session.current ? <strong>{settingsWords.thisBrowser}</strong> : null}
      </p>
      <p class="setting-note">{session.network === "" ? times : `${session.network} · ${times}`}</p>
      <button type="button" class="setting-button" data-testid="end-session" aria-label={settingsWords.signOutOf(said)} disabled={busy} onClick={() => void answer()}>
        {settingsWords.signOutThere}
      </button>
      {failure ? <Failure error={failure} /> : null}
    </li>
  );
}
