// What is wrong with what somebody has given: at its field where it has one, else for the form as a whole. Pure.
import { words } from "../../words/words";
import { errorSentence, sentence } from "../wording";

export interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
}

export interface Complaints {
  readonly form: string | null;
  readonly fields: Readonly<Record<string, readonly string[]>>;
}

export const NO_COMPLAINTS: Complaints = { form: null, fields: {} };

/** Errors that are about one field: the first of these that the form has. */
const ABOUT: Readonly<Record<string, readonly string[]>> = {
  INVALID_CREDENTIALS: ["password"],
  WRONG_PASSWORD: ["old_password", "password"],
  NAME_TAKEN: ["username"],
};

/** What the server has refused, for a form with these fields. Whatever it tells is said somewhere. */
export function complaintsOf({ code, message, details }: Refusal, names: readonly string[]): Complaints {
  if (code === "RATE_LIMITED") return { form: words.fields.tooMany, fields: {} };
  const about = ABOUT[code]?.find((name) => names.includes(name));
  if (about !== undefined) return { form: null, fields: { [about]: [errorSentence(code, message)] } };
  const fields: Record<string, string[]> = {};
  const rest: string[] = [];
  for (const { field, problem } of problemsIn(details)) {
    if (names.includes(field)) (fields[field] ??= []).push(sentence(problem));
    else rest.push(sentence(problem));
  }
  if (rest.length > 0) return { form: rest.join(" "), fields };
  return { form: Object.keys(fields).length > 0 ? null : errorSentence(code, message), fields };
}

function problemsIn({ problems }: Refusal["details"]): readonly { readonly field: string; readonly problem: string }[] {
  if (!Array.isArray(problems)) return [];
  return problems.flatMap((each: unknown) => {
    const { field, problem } = (each ?? {}) as Record<string, unknown>;
    return typeof problem === "string" && problem.trim() !== "" ? [{ field: typeof field === "string" ? field : "", problem }] : [];
  });
}

/** The fields that have to be given, and are empty. */
export function missing(given: Readonly<Record<string, string>>, needed: readonly string[]): Complaints {
  const empty = needed.filter((name) => (name.endsWith("password") ? given[name] : given[name]?.trim()) === "");
  return { form: null, fields: Object.fromEntries(empty.map((name) => [name, [missingWords(name)]])) };
}

function missingWords(name: string): string {
  return words.missing[name as keyof typeof words.missing];
}

export function isClear({ form, fields }: Complaints): boolean {
  return form === null && Object.keys(fields).length === 0;
}

/** What a button says while it cannot be pressed. */
export function waitWords(seconds: number): string {
  return seconds < 3600 ? words.fields.tryAgainIn(seconds) : words.fields.tryAgainInHours(Math.ceil(seconds / 3600));
}
