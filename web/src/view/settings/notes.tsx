import type { VNode } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { Notes } from "../../settings/notes";
import type { Note } from "../../settings/rest";
import { settingsWords } from "../../words/settings_words";
import { format, words } from "../../words/words";
import { announce } from "../announcer";
import { Icon } from "../icons";
import type { SectionProps } from "./page";
import { Failure, Question, useAttempt } from "./parts";

/** What agents remember, and how to have them forget it. */
export function NoteSection({ chat }: SectionProps): VNode {
  const notes = useMemo(() => new Notes(chat.fetch), [chat]);
  const [asked, ask] = useState<Note | "all" | null>(null);
  const list = useRef<HTMLUListElement>(null);
  const head = useRef<HTMLParagraphElement>(null);
  useEffect(() => void notes.more(), [notes]);
  /** The question is answered: its note's button is gone, and with it where the focus was. */
  const forgotten = (place: number): void => {
    ask(null);
    announce(settingsWords.noteForgotten);
    requestAnimationFrame(() => {
      const buttons = [...(list.current?.querySelectorAll<HTMLElement>(".note-forget") ?? [])];
      (buttons[Math.min(place, buttons.length - 1)] ?? head.current)?.focus();
    });
  };
  const all = notes.rows.value;
  const isEmpty = notes.loaded.value && all.length === 0;
  return (
    <>
      <p class="setting-about" ref={head} tabIndex={-1}>
        {settingsWords.notesAbout}
      </p>
      {isEmpty ? <Empty /> : null}
      <ul class="notes" ref={list}>
        {all.map((note) => (
          <NoteRow key={note.id} note={note} forget={() => ask(note)} />
        ))}
      </ul>
      {notes.loading.value && !notes.loaded.value ? <p class="setting-note appear">{words.app.loading}</p> : null}
      {notes.failure.value ? <Failure error={notes.failure.value} again={() => void notes.more()} /> : null}
      {all.length > 0 ? (
        <div class="setting-row">
          {notes.hasMore.value ? (
            <button type="button" data-testid="more-notes" disabled={notes.loading.value} onClick={() => void notes.more()}>
              {settingsWords.moreNotes}
            </button>
          ) : null}
          <button type="button" class="danger" data-testid="forget-all" onClick={() => ask("all")}>
            {settingsWords.forgetAll}
          </button>
        </div>
      ) : null}
      {asked === null ? null : <Forgetting notes={notes} what={asked} done={forgotten} close={() => ask(null)} />}
    </>
  );
}

function Empty(): VNode {
  return (
    <div class="nothing" data-testid="no-notes">
      <Icon name="note" />
      <h3>{settingsWords.noNotes}</h3>
      <p>{settingsWords.noNotesAbout}</p>
    </div>
  );
}

const LONG = 300;

function NoteRow({ note, forget }: { readonly note: Note; readonly forget: () => void }): VNode {
  const [whole, setWhole] = useState(false);
  const isLong = note.content.length > LONG || note.content.split("\n").length > 4;
  const made = new Date(note.created_at);
  return (
    <li class="note" data-testid="note" data-note={note.id}>
      <p class={isLong && !whole ? "note-text cut" : "note-text"} dir="auto" id={`note-${note.id}`}>
        {note.content}
      </p>
      <div class="note-foot">
        <span>
          {note.agent === null ? "" : `${note.agent} · `}
          <time dateTime={note.created_at} title={format.dateTime(made)}>
            {format.day(made)}
          </time>
        </span>
        {isLong ? (
          <button type="button" class="link" aria-expanded={whole} aria-controls={`note-${note.id}`} onClick={() => setWhole(!whole)}>
            {whole ? settingsWords.showLess : settingsWords.showWhole}
          </button>
        ) : null}
      </div>
      <button type="button" class="round note-forget" data-testid="forget" aria-label={settingsWords.forget(note.content.slice(0, 60))} onClick={forget}>
        <Icon name="bin" />
      </button>
    </li>
  );
}

interface ForgettingProps {
  readonly notes: Notes;
  readonly what: Note | "all";
  readonly done: (place: number) => void;
  readonly close: () => void;
}

function Forgetting({ notes, what, done, close }: ForgettingProps): VNode {
  const { busy, failure, act } = useAttempt(() => (what === "all" ? notes.forgetAll() : notes.forget(what)));
  const answer = async (): Promise<void> => {
    const place = what === "all" ? 0 : notes.rows.peek().indexOf(what);
    if (await act()) done(place);
  };
  const isAll = what === "all";
  return (
    <Question
      title={isAll ? settingsWords.forgetAllSure : settingsWords.forgetSure}
      yes={isAll ? settingsWords.forgetAll : settingsWords.forgetIt}
      busy={busy}
      failure={failure}
      answer={() => void answer()}
      close={close}
    >
      {isAll ? (
        <p>{settingsWords.forgetAllAbout}</p>
      ) : (
        <p class="note-text cut" dir="auto">
          {what.content}
        </p>
      )}
    </Question>
  );
}
