// The page's language, chosen once: the first of the person's languages that there is a catalogue for, else English.
import { en } from "./en";
import { type Formats, formats } from "./formats";

export type Words = ReturnType<typeof en>;

const CATALOGUES = { en } satisfies Record<string, (format: Formats) => Words>;

export type Language = keyof typeof CATALOGUES;

export interface Choice {
  readonly language: Language;
  /** Dates and numbers are written by this one: the person's own way of the language, where they have one. */
  readonly locale: string;
}

export function chosen(wishes: readonly string[]): Choice {
  for (const locale of wishes) {
    const [language = ""] = locale.toLowerCase().split("-");
    if (language in CATALOGUES) return { language: language as Language, locale };
  }
  return { language: "en", locale: "en" };
}

/** The languages of a browser; none elsewhere. */
function wishes(): readonly string[] {
  return typeof document === "undefined" ? [] : navigator.languages;
}

export const { language, locale } = chosen(wishes());
export const format = formats(locale);
export const words: Words = CATALOGUES[language](format);
