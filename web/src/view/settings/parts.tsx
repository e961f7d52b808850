// What sections are made of.
import type { ComponentChildren, VNode } from "preact";
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { RestError } from "../../session/rest";
import { words } from "../../words/words";
import { Icon } from "../icons";
import { errorSentence, waitSentence } from "../wording";

/** Something that can be set, with its name and what it means. */
export function Setting({ title, about, children }: { readonly title: string; readonly about?: string; readonly children?: ComponentChildren }): VNode {
  return (
    <div class="setting">
      <h3>{title}</h3>
      {about === undefined ? null : <p class="setting-about">{about}</p>}
      {children}
    </div>
  );
}

export function Failure({ error, again }: { readonly error: RestError; readonly again?: () => void }): VNode {
  return (
    <p class="settings-error" role="alert" data-testid="settings-error">
      <Icon name="alert" />
      <span>
        {errorSentence(error.code, error.message)}
        {error.retryAfter ? ` ${waitSentence(error.retryAfter)}` : ""}
      </span>
      {again ? (
        <button type="button" class="link" onClick={again}>
          {words.app.tryAgain}
        </button>
      ) : null}
    </p>
  );
}

interface Attempt<Arguments extends readonly unknown[]> {
  readonly busy: boolean;
  readonly failure: RestError | null;
  /** True when it was done. */
  readonly act: (...given: Arguments) => Promise<boolean>;
}

/** Something that the server may refuse: one at a time. */
export function useAttempt<Arguments extends readonly unknown[]>(work: (...given: Arguments) => Promise<void>): Attempt<Arguments> {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<RestError | null>(null);
  const running = useRef(false);
  const act = async (...given: Arguments): Promise<boolean> => {
    if (running.current) return false;
    running.current = true;
    setBusy(true);
    setFailure(null);
    try {
      await work(...given);
      return true;
    } catch (error) {
      if (!(error instanceof RestError)) throw error;
      if (error.code !== "ABORTED") setFailure(error);
      return false;
    } finally {
      running.current = false;
      setBusy(false);
    }
  };
  return { busy, failure, act };
}

interface QuestionProps {
  readonly title: string;
  readonly yes: string;
  readonly busy: boolean;
  readonly failure: RestError | null;
  /** What was typed into `children`. */
  readonly answer: (form: FormData) => void;
  readonly close: () => void;
  readonly children: ComponentChildren;
}

/** Asks before something is done that cannot be undone. Escape and a press beside it leave everything as it is. */
export function Question({ title, yes, busy, failure, answer, close, children }: QuestionProps): VNode {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  // A dialog gives the focus back to where it was.
  useLayoutEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog
      class="sheet question"
      ref={dialog}
      role="alertdialog"
      data-testid="question"
      aria-labelledby={id}
      aria-describedby={`${id}-about`}
      onClose={close}
      onClick={(event) => {
        if (event.target === dialog.current) dialog.current?.close();
      }}
    >
      <form
        class="sheet-body"
        onSubmit={(event) => {
          event.preventDefault();
          answer(new FormData(event.currentTarget));
        }}
      >
        <h2 id={id}>{title}</h2>
        <div class="question-about" id={`${id}-about`}>
          {children}
        </div>
        {failure ? <Failure error={failure} /> : null}
        <div class="question-answers">
          <button type="button" data-testid="question-no" onClick={() => dialog.current?.close()}>
            {words.app.cancel}
          </button>
          <button type="submit" class="danger" data-testid="question-yes" disabled={busy}>
            {yes}
          </button>
        </div>
      </form>
    </dialog>
  );
}
