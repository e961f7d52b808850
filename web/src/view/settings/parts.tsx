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

interface DialogProps {
  readonly title: string;
  readonly close: () => void;
  /** `about` is the id of what the dialog says; `dismiss` closes it. */
  readonly children: (about: string, dismiss: () => void) => VNode;
}

/** Escape and a press beside it leave everything as it is. */
export function Dialog({ title, close, children }: DialogProps): VNode {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  // A dialog gives the focus back to where it was.
  useLayoutEffect(() => dialog.current?.showModal(), []);
  const dismiss = (): void => dialog.current?.close();
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
        if (event.target === dialog.current) dismiss();
      }}
    >
      <div class="sheet-body">
        <h2 id={id}>{title}</h2>
        {children(`${id}-about`, dismiss)}
      </div>
    </dialog>
  );
}

interface QuestionProps {
  readonly title: string;
  readonly yes: string;
  readonly busy: boolean;
  readonly failure: RestError | null;
  readonly answer: () => void;
  readonly close: () => void;
  readonly children: ComponentChildren;
}

/** Asks before something is done that cannot be undone. */
export function Question({ title, yes, busy, failure, answer, close, children }: QuestionProps): VNode {
  return (
    <Dialog title={title} close={close}>
      {(about, dismiss) => (
        <>
          <div class="question-about" id={about}>
            {children}
          </div>
          {failure ? <Failure error={failure} /> : null}
          <div class="question-answers">
            <button type="button" data-testid="question-no" onClick={dismiss}>
              {words.app.cancel}
            </button>
            <button type="button" class="danger" data-testid="question-yes" disabled={busy} onClick={answer}>
              {yes}
            </button>
          </div>
        </>
      )}
    </Dialog>
  );
}
