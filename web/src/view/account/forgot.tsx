import type { VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Entrance } from "../../account/entrance";
import { askForReset } from "../../account/requests";
import { words } from "../../words/words";
import { useCountdown } from "./countdown";
import { Card, PlaceLink } from "./entrance";
import { Field } from "./fields";
import { AccountForm, useForm } from "./form";

/** A mail takes a while: before that nobody needs another. */
const AGAIN_SECONDS = 30;

export function Forgot({ entrance }: { readonly entrance: Entrance }): VNode {
  const [asked, setAsked] = useState<string | null>(null);
  const options = entrance.options.value;
  if (options === null) return <p class="entrance-waits">{words.app.loading}</p>;
  if (!options.password_reset) {
    return (
      <Card title={words.entrance.forgotTitle}>
        <p>{words.entrance.noReset}</p>
        <Back entrance={entrance} />
      </Card>
    );
  }
  return asked === null ? (
    <Ask entrance={entrance} done={setAsked} />
  ) : (
    <Asked entrance={entrance} address={asked} other={() => setAsked(null)} />
  );
}

function Back({ entrance }: { readonly entrance: Entrance }): VNode {
  return (
    <div class="entrance-links">
      <p>
        <PlaceLink entrance={entrance} to="sign-in">
          {words.entrance.backToSignIn}
        </PlaceLink>
      </p>
    </div>
  );
}

function Ask({ entrance, done }: { readonly entrance: Entrance; readonly done: (address: string) => void }): VNode {
  const say = words.entrance;
  const state = useForm({
    names: ["email"],
    act: async ({ email = "" }) => {
      await askForReset(email);
      done(email.trim());
    },
  });
  return (
    <Card title={say.forgotTitle}>
      <p>{say.forgotAbout}</p>
      <AccountForm state={state} name="forgot" label={say.askForMail} labelBusy={say.askingForMail}>
        <Field state={state} name="email" type="email" label={words.fields.email} autocomplete="email" counted />
      </AccountForm>
      <Back entrance={entrance} />
    </Card>
  );
}

/** The same for every address, whether somebody has it or not. */
function Asked({ entrance, address, other }: { readonly entrance: Entrance; readonly address: string; readonly other: () => void }): VNode {
  const say = words.entrance;
  const [again, setAgain] = useState(false);
  const [left, begin] = useCountdown();
  useEffect(() => begin(AGAIN_SECONDS), []);
  const state = useForm({
    names: [],
    act: async () => {
      setAgain(false);
      await askForReset(address);
      setAgain(true);
      begin(AGAIN_SECONDS);
    },
  });
  return (
    <Card title={say.mailAsked}>
      <p data-testid="mail-asked">{say.mailAskedFor(<b class="entrance-address">{address}</b>)}</p>
      <AccountForm
        state={left > 0 ? { ...state, wait: left } : state}
        name="ask-again"
        label={say.askAgain}
        labelBusy={say.askingForMail}
        labelWaiting={left > 0 ? say.askAgainIn(left) : undefined}
        quiet
      >
        <p class="account-done" role="status" data-testid="asked-again">
          {again ? say.askedAgain : ""}
        </p>
      </AccountForm>
      <div class="entrance-links">
        <p>
          <button type="button" class="link" data-testid="other-address" onClick={other}>
            {say.otherAddress}
          </button>
        </p>
      </div>
      <Back entrance={entrance} />
    </Card>
  );
}
