import type { VNode } from "preact";
import { useState } from "preact/hooks";
import { settingsWords } from "../../words/settings_words";
import { words } from "../../words/words";
import { ChangePassword } from "../account/change_password";
import { PasswordField } from "../account/fields";
import { AccountForm, useForm } from "../account/form";
import { SignOutEverywhere } from "../account/sign_out_everywhere";
import type { SectionProps } from "./page";
import { Dialog, Setting } from "./parts";
import { SessionList } from "./sessions";

export function Account({ application, chat }: SectionProps): VNode {
  return (
    <>
      <dl class="facts">
        <div>
          <dt>{settingsWords.name}</dt>
          <dd data-testid="account-name">{chat.me.username}</dd>
        </div>
        <div>
          <dt>{settingsWords.email}</dt>
          <dd data-testid="account-email">{chat.me.email || settingsWords.noEmail}</dd>
        </div>
      </dl>
      <Setting title={words.account.changePassword}>
        <ChangePassword application={application} chat={chat} />
      </Setting>
      <SessionList application={application} chat={chat} />
      <Setting title={words.account.everywhere}>
        <SignOutEverywhere application={application} />
      </Setting>
      <Deletion application={application} />
    </>
  );
}

type DeletionProps = Pick<SectionProps, "application">;

function Deletion({ application }: DeletionProps): VNode {
  const [asked, ask] = useState(false);
  return (
    <Setting title={settingsWords.deleteAccount} about={settingsWords.deleteAccountAbout}>
      <button type="button" class="setting-button danger" data-testid="delete-account" onClick={() => ask(true)}>
        {settingsWords.deleteAccountNow}
      </button>
      {asked ? <Deleting application={application} close={() => ask(false)} /> : null}
    </Setting>
  );
}

/** Says what goes and what stays, and asks for the password. */
function Deleting({ application, close }: DeletionProps & { readonly close: () => void }): VNode {
  const state = useForm({ names: ["password"], act: ({ password = "" }) => application.deleteAccount(password) });
  return (
    <Dialog title={settingsWords.deleteAccountSure} close={close}>
      {(about, dismiss) => (
        <>
          <div class="question-about" id={about}>
            <p>{settingsWords.deletionGoes}</p>
            <ul>
              <li>{settingsWords.deletionThreads}</li>
              <li>{settingsWords.deletionNotes}</li>
              <li>{settingsWords.deletionRuns}</li>
              <li>{settingsWords.deletionBrowser}</li>
            </ul>
            <p>{settingsWords.deletionStays}</p>
            <p>{settingsWords.deletionExport}</p>
          </div>
          <AccountForm state={state} name="delete-for-good" label={settingsWords.deleteAccountYes} labelBusy={settingsWords.deletingAccount}>
            <PasswordField state={state} name="password" label={words.fields.oldPassword} />
          </AccountForm>
          <button type="button" class="question-leave" data-testid="question-no" onClick={dismiss}>
            {words.app.cancel}
          </button>
        </>
      )}
    </Dialog>
  );
}
