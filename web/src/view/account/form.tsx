import type { ComponentChildren, TargetedSubmitEvent, VNode } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { RestError } from "../../session/rest";
import { words } from "../../words/words";
import { type Complaints, complaintsOf, isClear, missing, NO_COMPLAINTS, waitWords } from "./complaints";
import { useCountdown } from "./countdown";

export interface FormState {
  readonly complaints: Complaints;
  readonly busy: boolean;
  /** Seconds until the server lets one try again. */
  readonly wait: number;
  /** The wait is over: said once. */
  readonly waited: boolean;
  readonly submit: (event: TargetedSubmitEvent<HTMLFormElement>) => void;
  /** Somebody else's name is another matter: the wait was for the one before. */
  readonly renamed: () => void;
}

export type Given = Readonly<Record<string, string>>;

interface FormParts {
  /** All fields; those of `optional` may stay empty. */
  readonly names: readonly string[];
  readonly optional?: readonly string[];
  readonly act: (given: Given, form: HTMLFormElement) => Promise<void>;
  /** True when it has dealt with the refusal. */
  readonly refused?: (error: RestError) => boolean;
}

export function useForm({ names, optional = [], act, refused }: FormParts): FormState {
  const [complaints, setComplaints] = useState(NO_COMPLAINTS);
  const [busy, setBusy] = useState(false);
  const [waited, setWaited] = useState(false);
  const under = useRef(false);
  const form = useRef<HTMLFormElement | null>(null);
  const [wait, beginWait] = useCountdown(() => {
    setComplaints(NO_COMPLAINTS);
    setWaited(true);
  });
  useLayoutEffect(() => {
    const [first] = names.filter((name) => complaints.fields[name]);
    const field = first === undefined ? null : form.current?.elements.namedItem(first);
    if (field instanceof HTMLInputElement) {
      field.focus();
      field.select();
    }
  }, [complaints]);

  const attempt = async (element: HTMLFormElement): Promise<void> => {
    const data = new FormData(element);
    const given = Object.fromEntries(names.map((name) => [name, String(data.get(name) ?? "")]));
    const lacking = missing(given, names.filter((name) => !optional.includes(name)));
    setWaited(false);
    setComplaints(lacking);
    if (!isClear(lacking)) return;
    setBusy(true);
    try {
      await act(given, element);
    } catch (error) {
      if (!(error instanceof RestError)) throw error;
      if (refused?.(error)) return;
      setComplaints(complaintsOf(error, names));
      if (error.code === "RATE_LIMITED") beginWait(error.retryAfter ?? 1);
    } finally {
      setBusy(false);
    }
  };
  // State comes with the next rendering; a second press can be sooner.
  const submit = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    if (under.current || wait > 0) return;
    under.current = true;
    form.current = event.currentTarget;
    void attempt(event.currentTarget).finally(() => (under.current = false));
  };
  const renamed = (): void => {
    if (wait === 0) return;
    beginWait(0);
    setComplaints(NO_COMPLAINTS);
  };
  return { complaints, busy, wait, waited, submit, renamed };
}

interface FormProps {
  readonly state: FormState;
  readonly name: string;
  readonly label: string;
  readonly labelBusy: string;
  /** While one has to wait. */
  readonly labelWaiting?: string | undefined;
  /** There is something more important on the page. */
  readonly quiet?: boolean;
  readonly children?: ComponentChildren;
}

/** Fields, what is wrong with all of them, and the button. */
export function AccountForm({ state, name, label, labelBusy, labelWaiting, quiet = false, children }: FormProps): VNode {
  const { complaints, busy, wait, waited } = state;
  return (
    <form class="account-form" data-testid={`${name}-form`} noValidate onSubmit={state.submit}>
      {children}
      {complaints.form === null ? null : (
        <p class="account-error" role="alert" data-testid={`${name}-error`}>
          {complaints.form}
        </p>
      )}
      <button type="submit" class={quiet ? "wide" : "primary wide"} data-testid={name} disabled={busy || wait > 0}>
        {busy ? labelBusy : wait > 0 ? (labelWaiting ?? waitWords(wait)) : label}
      </button>
      <p class="visually-hidden" role="status">
        {waited ? words.fields.goOn : ""}
      </p>
    </form>
  );
}
