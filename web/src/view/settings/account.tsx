import type { VNode } from "preact";
import { useState } from "preact/hooks";
import { words } from "../../words/words";
import { ChangePassword } from "../account/change_password";
import { PasswordField } from "../account/fields";
import { AccountForm, useForm } from "../account/form";
import { SignOutEverywhere } from "../account/sign_out_everywhere";
import type { SectionProps } from "./page";
import { Dialog, Setting } from "./parts";

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
      <Setting title={words.account.changePassword}>
        <ChangePassword application={application} chat={chat} />
      </Setting>
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
    <Setting title={words.settings.deleteAccount} about={words.settings.deleteAccountAbout}>
      <button type="button" class="setting-button danger" data-testid="delete-account" onClick={() => ask(true)}>
        {words.settings.deleteAccountNow}
      </button>
      {asked ? <Deleting application={application} close={() => ask(false)} /> : null}
    </Setting>
  );
}

/** Says what goes and what stays, and asks for the password. */
function Deleting({ application, close }: DeletionProps & { readonly close: () => void }): VNode {
  const state = useForm({ names: ["password"], act: ({ password = "" }) => application.deleteAccount(password) });
  return (
    <Dialog title={words.settings.deleteAccountSure} close={close}>
      {(about, dismiss) => (
        <>
          <div class="question-about" id={about}>
            <p>{words.settings.deletionGoes}</p>
            <ul>
              <li>{words.settings.deletionThreads}</li>
              <li>{words.settings.deletionNotes}</li>
              <li>{words.settings.deletionRuns}</li>
              <li>{words.settings.deletionBrowser}</li>
            </ul>
            <p>{words.settings.deletionStays}</p>
            <p>{words.settings.deletionExport}</p>
          </div>
          <AccountForm state={state} name="delete-for-good" label={words.settings.deleteAccountYes} labelBusy={words.settings.deletingAccount}>
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
