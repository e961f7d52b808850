import type { VNode } from "preact";
import { useState } from "preact/hooks";
import type { Entrance } from "../../account/entrance";
import { isFor } from "../../account/place";
import type { Application } from "../../application";
import { words } from "../../words/words";
import { Card, PlaceLink } from "./entrance";
import { PasswordField } from "./fields";
import { AccountForm, useForm } from "./form";

export function Reset({ application }: { readonly application: Application }): VNode {
  const { entrance } = application;
  const [state, enter] = useState<"open" | "dead" | "done">("open");
  const say = words.entrance;
  if (state === "done") return <Done application={application} />;
  if (state === "dead") return <NoLink entrance={entrance} title={say.deadLink} about={say.deadLinkAbout} />;
  if (entrance.link.value === null) return <NoLink entrance={entrance} title={say.lostLink} about={say.lostLinkAbout} />;
  return <Choose application={application} dead={() => enter("dead")} done={() => enter("done")} />;
}

function NoLink({ entrance, title, about }: { readonly entrance: Entrance; readonly title: string; readonly about: string }): VNode {
  return (
    <Card title={title}>
      <p data-testid="no-link">{about}</p>
      <div class="entrance-links">
        <p>
          <PlaceLink entrance={entrance} to="forgot">
            {words.entrance.askForAnother}
          </PlaceLink>
        </p>
        <p>
          <PlaceLink entrance={entrance} to="sign-in">
            {words.entrance.backToSignIn}
          </PlaceLink>
        </p>
      </div>
    </Card>
  );
}

interface ChooseProps {
  readonly application: Application;
  readonly dead: () => void;
  readonly done: () => void;
}

function Choose({ application, dead, done }: ChooseProps): VNode {
  const { entrance } = application;
  const say = words.entrance;
  const link = entrance.link.value;
  const person = entrance.person.value;
  const state = useForm({
    names: ["password"],
    act: async ({ password = "" }) => {
      if (await application.resetPassword(password)) done();
    },
    refused: ({ code }) => {
      if (code === "INVALID_RESET_LINK") dead();
      return code === "INVALID_RESET_LINK";
    },
  });
  return (
    <Card title={say.resetTitle}>
      {link && person ? (
        <p class="entrance-why" role="status" data-testid="signed-in-as">
          {isFor(link, person.id) ? say.linkForYou(person.username) : say.linkForOther(person.username)}
        </p>
      ) : (
        <p>{say.resetEnds}</p>
      )}
      <AccountForm state={state} name="reset" label={say.reset} labelBusy={say.resetting}>
        <PasswordField state={state} name="password" label={words.fields.newPassword} rules={entrance.options.value?.password_rules ?? []} />
      </AccountForm>
    </Card>
  );
}

/** Somebody else is signed in here, and is not in the way of the new password. */
function Done({ application }: { readonly application: Application }): VNode {
  const say = words.entrance;
  const name = application.entrance.person.value?.username ?? "";
  return (
    <Card title={say.resetDone}>
      <p>{say.resetDoneAbout(name)}</p>
      <div class="account-choices">
        <button type="button" class="primary" data-testid="sign-out-and-in" onClick={() => void application.signOutAfterReset()}>
          {say.signOutAndIn(name)}
        </button>
        <button type="button" data-testid="go-on" onClick={() => void application.goOn()}>
          {say.goOnAs(name)}
        </button>
      </div>
    </Card>
  );
}
