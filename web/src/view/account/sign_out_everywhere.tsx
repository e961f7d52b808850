import type { VNode } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Application } from "../../application";
import { RestError } from "../../session/rest";
import { words } from "../../words/words";
import { errorSentence } from "../wording";

/** Asks once more, for it ends this session, too. */
export function SignOutEverywhere({ application }: { readonly application: Application }): VNode {
  const [asked, setAsked] = useState(false);
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<RestError | null>(null);
  const cancel = useRef<HTMLButtonElement>(null);
  const begin = useRef<HTMLButtonElement>(null);
  const drawn = useRef(false);
  useLayoutEffect(() => {
    if (drawn.current) (asked ? cancel : begin).current?.focus();
    drawn.current = true;
  }, [asked]);
  const act = (): void => {
    setBusy(true);
    setFailure(null);
    application
      .signOutEverywhere()
      .catch((error: unknown) => {
        if (!(error instanceof RestError)) throw error;
        setFailure(error);
      })
      .finally(() => setBusy(false));
  };
  return (
    <div class="account-form">
      <p>{words.account.everywhereAbout}</p>
      {asked ? (
        <div
          class="account-sure"
          role="group"
          aria-label={words.account.everywhereSure}
          onKeyDown={(event) => {
            if (event.key !== "Escape" || busy) return;
            event.preventDefault();
            event.stopPropagation();
            setAsked(false);
          }}
        >
          <p>{words.account.everywhereSure}</p>
          <div class="account-choices">
            <button type="button" class="danger" data-testid="everywhere-sure" disabled={busy} onClick={act}>
              {busy ? words.account.signingOut : words.account.everywhere}
            </button>
            <button type="button" ref={cancel} data-testid="everywhere-cancel" disabled={busy} onClick={() => setAsked(false)}>
              {words.app.cancel}
            </button>
          </div>
        </div>
      ) : (
        <div class="account-choices">
          <button type="button" ref={begin} data-testid="everywhere" onClick={() => setAsked(true)}>
            {words.account.everywhere}
          </button>
        </div>
      )}
      {failure ? (
        <p class="account-error" role="alert" data-testid="everywhere-error">
          {errorSentence(failure.code, failure.message)}
        </p>
      ) : null}
    </div>
  );
}
