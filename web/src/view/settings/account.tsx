import type { VNode } from "preact";
import { useState } from "preact/hooks";
import { words } from "../../words/words";
import type { SectionProps } from "./page";
import { Question, Setting, useAttempt } from "./parts";

export function Account({ application, chat }: SectionProps): VNode {
  return (
    <>
      <dl class="facts">
        <div>
          <dt>{words.settings.name}</dt>
          <dd data-testid="account-name">{chat.me.username}</dd>
        </div>
        <div>
          <dt>{words.settings.email}</dt>
          <dd data-testid="account-email">{chat.me.email || words.settings.noEmail}</dd>
        </div>
      </dl>
      <Deletion application={application} />
    </>
  );
}

function Deletion({ application }: Pick<SectionProps, "application">): VNode {
  const [asked, ask] = useState(false);
  const { busy, failure, act } = useAttempt((password: string) => application.deleteAccount(password));
  return (
    <Setting title={words.settings.deleteAccount} about={words.settings.deleteAccountAbout}>
      <button type="button" class="setting-button danger" data-testid="delete-account" onClick={() => ask(true)}>
        {words.settings.deleteAccountNow}
      </button>
      {asked ? (
        <Question
          title={words.settings.deleteAccountSure}
          yes={busy ? words.settings.deletingAccount : words.settings.deleteAccountYes}
          busy={busy}
          failure={failure}
          answer={(form) => void act(String(form.get("password")))}
          close={() => ask(false)}
        >
          <p>{words.settings.deletionGoes}</p>
          <ul>
            <li>{words.settings.deletionThreads}</li>
            <li>{words.settings.deletionNotes}</li>
            <li>{words.settings.deletionRuns}</li>
            <li>{words.settings.deletionBrowser}</li>
          </ul>
          <p>{words.settings.deletionStays}</p>
          <p>{words.settings.deletionExport}</p>
          <label class="field">
            {words.settings.password}
            <input name="password" type="password" data-testid="delete-password" autocomplete="current-password" required />
          </label>
        </Question>
      ) : null}
    </Setting>
  );
}
