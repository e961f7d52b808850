import type { ComponentChildren, TargetedKeyboardEvent, VNode } from "preact";
import { useId, useState } from "preact/hooks";
import { words } from "../../words/words";
import { Icon } from "../icons";
import type { FormState } from "./form";

interface FieldProps {
  readonly state: FormState;
  readonly name: string;
  readonly label: string;
  readonly autocomplete: string;
  readonly type?: "text" | "email";
  readonly optional?: boolean;
  readonly hint?: string;
  /** The one whose attempts are counted. */
  readonly counted?: boolean;
}

export function Field({ state, name, label, autocomplete, type = "text", optional = false, hint, counted = false }: FieldProps): VNode {
  const id = useId();
  return (
    <FieldFrame id={id} name={name} label={label} optional={optional} hint={hint} problems={state.complaints.fields[name]}>
      <input
        id={id}
        name={name}
        type={type as "text"}
        data-testid={name}
        autocomplete={autocomplete}
        autocapitalize="none"
        spellcheck={false}
        required={!optional}
        {...described(id, hint !== undefined, state.complaints.fields[name])}
        onInput={counted ? state.renamed : undefined}
      />
    </FieldFrame>
  );
}

interface PasswordProps {
  readonly state: FormState;
  readonly name: string;
  readonly label: string;
  /** A new password, with what the server asks of one; without it the current one. */
  readonly rules?: readonly string[];
}

/** It can be shown, until it is sent: what a browser offers to keep must be a password's field. */
export function PasswordField({ state, name, label, rules }: PasswordProps): VNode {
  const id = useId();
  const [shown, setShown] = useState(false);
  const [capsLock, setCapsLock] = useState(false);
  const look = (event: TargetedKeyboardEvent<HTMLInputElement>): void => setCapsLock(event.getModifierState("CapsLock"));
  const problems = state.complaints.fields[name];
  return (
    <FieldFrame id={id} name={name} label={label} hint={rules && rules.length > 0 ? <Rules rules={rules} /> : undefined} problems={problems}>
      <span class="field-box">
        <input
          id={id}
          name={name}
          type={(shown && !state.busy ? "text" : "password") as "text"}
          data-testid={name}
          autocomplete={rules ? "new-password" : "current-password"}
          autocapitalize="none"
          spellcheck={false}
          required
          {...described(id, rules !== undefined && rules.length > 0, problems)}
          onKeyDown={look}
          onKeyUp={look}
          onBlur={() => setCapsLock(false)}
        />
        <button type="button" class="round" data-testid={`show-${name}`} aria-label={words.fields.show} aria-pressed={shown} aria-controls={id} onClick={() => setShown(!shown)}>
          <Icon name={shown ? "eyeShut" : "eye"} />
        </button>
      </span>
      <p class="field-note" role="status" data-testid={`${name}-caps-lock`}>
        {capsLock ? words.fields.capsLock : ""}
      </p>
    </FieldFrame>
  );
}

function Rules({ rules }: { readonly rules: readonly string[] }): VNode {
  return (
    <ul>
      {rules.map((rule) => (
        <li key={rule}>{rule}</li>
      ))}
    </ul>
  );
}

interface FrameProps {
  readonly id: string;
  readonly name: string;
  readonly label: string;
  readonly optional?: boolean;
  readonly hint: ComponentChildren;
  readonly problems: readonly string[] | undefined;
  readonly children: ComponentChildren;
}

function FieldFrame({ id, name, label, optional = false, hint, problems, children }: FrameProps): VNode {
  return (
    <div class="field">
      <label for={id}>
        {label}
        {optional ? <span class="field-optional"> ({words.fields.optional})</span> : null}
      </label>
      {children}
      <div id={`${id}-problems`} class="field-problems" role="alert" data-testid={`${name}-error`}>
        {problems?.map((problem) => <p key={problem}>{problem}</p>)}
      </div>
      {hint === undefined ? null : (
        <div id={`${id}-hint`} class="field-hint" data-testid={`${name}-hint`}>
          {hint}
        </div>
      )}
    </div>
  );
}

function described(id: string, hint: boolean, problems: readonly string[] | undefined): Record<string, string | boolean | undefined> {
  const by = [problems ? `${id}-problems` : "", hint ? `${id}-hint` : ""].filter((each) => each !== "").join(" ");
  return { "aria-invalid": problems !== undefined, "aria-describedby": by === "" ? undefined : by };
}
