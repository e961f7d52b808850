import type { VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Application } from "../../application";
import type { Chat } from "../../chat/chat";
import { words } from "../../words/words";
import { PasswordField } from "./fields";
import { AccountForm, useForm } from "./form";

/** This browser stays signed in; all others are out. */
export function ChangePassword({ application, chat }: { readonly application: Application; readonly chat: Chat }): VNode {
  const [changed, setChanged] = useState(false);
  const { entrance } = application;
  useEffect(() => entrance.wantOptions(), [entrance]);
  const state = useForm({
    names: ["old_password", "new_password"],
    act: async (given, form) => {
      setChanged(false);
      await application.changePassword(given["old_password"] ?? "", given["new_password"] ?? "");
      form.reset();
      setChanged(true);
    },
  });
  return (
    <AccountForm state={state} name="change-password" label={words.account.changePassword} labelBusy={words.account.changing}>
      {/* Whose password it is: for the browser, which keeps it. */}
      <input class="visually-hidden" name="username" autocomplete="username" value={chat.me.username} readOnly tabIndex={-1} aria-hidden="true" />
      <PasswordField state={state} name="old_password" label={words.fields.oldPassword} />
      <PasswordField state={state} name="new_password" label={words.fields.newPassword} rules={entrance.options.value?.password_rules ?? []} />
      <p class="account-done" role="status" data-testid="password-changed">
        {changed ? words.account.changed : ""}
      </p>
    </AccountForm>
  );
}
