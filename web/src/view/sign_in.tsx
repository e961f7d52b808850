import type { TargetedSubmitEvent, VNode } from "preact";
import { useState } from "preact/hooks";
import type { Application } from "../application";
import { RestError } from "../session/rest";
import { words } from "../words/words";
import { Mark } from "./icons";
import { errorSentence, waitSentence } from "./wording";

export function SignIn({ application }: { readonly application: Application }): VNode {
  const [failure, setFailure] = useState<RestError | null>(null);
  const [busy, setBusy] = useState(false);

  const submit = async (event: TargetedSubmitEvent<HTMLFormElement>): Promise<void> => {
    event.preventDefault();
    if (busy) return;
    const form = new FormData(event.currentTarget);
    setBusy(true);
    setFailure(null);
    try {
      await application.signIn(String(form.get("username")), String(form.get("password")));
    } catch (error) {
      if (!(error instanceof RestError)) throw error;
      setFailure(error);
    } finally {
      setBusy(false);
    }
  };

  return (
    <main class="sign-in">
      <form class="sign-in-form" data-testid="sign-in-form" onSubmit={submit}>
        <h1>
          <Mark />
          {words.app.name}
        </h1>
        <label>
          {words.signIn.username}
          <input name="username" data-testid="username" autocomplete="username" autocapitalize="none" spellcheck={false} required autofocus />
        </label>
        <label>
          {words.signIn.password}
          <input name="password" type="password" data-testid="password" autocomplete="current-password" required />
        </label>
        {failure ? (
          <p class="sign-in-error" role="alert" data-testid="sign-in-error">
            {errorSentence(failure.code, failure.message)}
            {failure.retryAfter ? ` ${waitSentence(failure.retryAfter)}` : ""}
          </p>
        ) : null}
        <button type="submit" class="primary" data-testid="sign-in" disabled={busy}>
          {busy ? words.signIn.submitting : words.signIn.submit}
        </button>
      </form>
    </main>
  );
}
