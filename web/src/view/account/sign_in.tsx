import type { VNode } from "preact";
import type { Application } from "../../application";
import { words } from "../../words/words";
import { Card, PlaceLink } from "./entrance";
import { Field, PasswordField } from "./fields";
import { AccountForm, useForm } from "./form";

export function SignIn({ application }: { readonly application: Application }): VNode {
  const { entrance } = application;
  const why = entrance.why.value;
  const options = entrance.options.value;
  const say = words.entrance;
  const state = useForm({
    names: ["username", "password"],
    act: (given) => application.signIn(given["username"] ?? "", given["password"] ?? ""),
  });
  const elsewhere = useForm({ names: [], act: () => application.signInElsewhere() });
  const isElsewhere = options?.exchange === "proxy" || (options?.exchange === "token" && options.sign_in_url !== null);
  return (
    <Card title={say.signIn}>
      <div role="status">
        {why === null ? null : (
          <p class="entrance-why" data-testid="why" data-why={why}>
            {words.farewells[why]}
          </p>
        )}
      </div>
      {isElsewhere ? <AccountForm state={elsewhere} name="sign-in-elsewhere" label={say.signInElsewhere} labelBusy={say.signingIn} /> : null}
      {options?.password_sign_in === false ? null : (
        <AccountForm state={state} name="sign-in" label={say.signIn} labelBusy={say.signingIn} quiet={isElsewhere}>
          <Field state={state} name="username" label={words.fields.username} autocomplete="username" counted />
          <PasswordField state={state} name="password" label={words.fields.password} />
        </AccountForm>
      )}
      <div class="entrance-links">
        {options?.password_reset ? (
          <p>
            <PlaceLink entrance={entrance} to="forgot">
              {say.forgot}
            </PlaceLink>
          </p>
        ) : null}
        {options?.registration ? (
          <p>
            {say.newHere}{" "}
            <PlaceLink entrance={entrance} to="register">
              {say.register}
            </PlaceLink>
          </p>
        ) : null}
      </div>
    </Card>
  );
}
