import type { VNode } from "preact";
import type { Application } from "../../application";
import { words } from "../../words/words";
import { Card, PlaceLink } from "./entrance";
import { Field, PasswordField } from "./fields";
import { AccountForm, useForm } from "./form";

export function Register({ application }: { readonly application: Application }): VNode {
  const { entrance } = application;
  const say = words.entrance;
  const options = entrance.options.value;
  if (options === null) return <p class="entrance-waits">{words.app.loading}</p>;
  return (
    <Card title={say.register}>
      {options.registration ? <RegisterForm application={application} rules={options.password_rules} /> : <p>{say.closed}</p>}
      <div class="entrance-links">
        <p>
          {options.registration ? <>{say.haveAccount} </> : null}
          <PlaceLink entrance={entrance} to="sign-in">
            {options.registration ? say.signIn : say.backToSignIn}
          </PlaceLink>
        </p>
      </div>
    </Card>
  );
}

function RegisterForm({ application, rules }: { readonly application: Application; readonly rules: readonly string[] }): VNode {
  const say = words.entrance;
  const state = useForm({
    names: ["username", "email", "password"],
    optional: ["email"],
    act: ({ username = "", email = "", password = "" }) =>
      application.register({ username, password, ...(email.trim() === "" ? {} : { email }) }),
  });
  return (
    <AccountForm state={state} name="register" label={say.register} labelBusy={say.registering}>
      <Field state={state} name="username" label={words.fields.username} autocomplete="username" counted />
      <Field state={state} name="email" type="email" label={words.fields.email} autocomplete="email" optional hint={words.fields.emailUse} />
      <PasswordField state={state} name="password" label={words.fields.password} rules={rules} />
    </AccountForm>
  );
}
