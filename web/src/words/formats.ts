// Numbers, costs, durations, sizes, dates and plurals as a locale writes them. All of the page's formats are here. Pure.

/** One form for each category of the language; `other` is always there. */
export type PluralForms = Partial<Record<Intl.LDMLPluralRule, string>> & { readonly other: string };

const SECOND_MS = 1000;
const DAY_MS = 86_400_000;
const SMALLEST_COST = 0.0001;

export interface Formats {
  readonly locale: string;
  readonly number: (value: number) => string;
  readonly plural: (count: number, forms: PluralForms) => string;
  /** The number, and what there is of it, in a language that tells one from others. */
  readonly counted: (count: number, one: string, other: string) => string;
  /** Dollars, short: two digits that matter below ten cents. */
  readonly cost: (dollars: number) => string;
  /** Dollars and cents. */
  readonly wholeCost: (dollars: number) => string;
  /** Dollars, to the last digit that is counted. */
  readonly exactCost: (dollars: number) => string;
  readonly duration: (milliseconds: number) => string;
  /** As a duration, in whole seconds. */
  readonly elapsed: (milliseconds: number) => string;
  /** Minutes and seconds as on a clock. */
  readonly countdown: (seconds: number) => string;
  /** A share of one, in whole hundredths. */
  readonly percent: (share: number) => string;
  readonly bytes: (bytes: number) => string;
  /** "November"; "November 2025" of another year than that of `now`. */
  readonly month: (date: Date, now: Date) => string;
  /** Of the browser's calendar: "29 Nov 2026". */
  readonly day: (date: Date) => string;
  /** A day of UTC's calendar, by its beginning. */
  readonly utcDay: (date: Date) => string;
  /** A moment in full. */
  readonly dateTime: (date: Date) => string;
}

export function formats(locale: string): Formats {
  const numeral = (options: Intl.NumberFormatOptions) => {
    const format = new Intl.NumberFormat(locale, options);
    return (value: number): string => format.format(value);
  };
  const unit = (name: string, unitDisplay: "narrow" | "short", options: Intl.NumberFormatOptions = {}) =>
    numeral({ style: "unit", unit: name, unitDisplay, ...options });
  const dollars = (options: Intl.NumberFormatOptions) => numeral({ style: "currency", currency: "USD", ...options });
  const date = (options: Intl.DateTimeFormatOptions) => {
    const format = new Intl.DateTimeFormat(locale, options);
    return (value: Date): string => format.format(value);
  };
  const rules = new Intl.PluralRules(locale);
  const small = dollars({ maximumSignificantDigits: 2 });
  const cents = dollars({});
  const month = date({ month: "long" });
  const monthOfYear = date({ month: "long", year: "numeric" });
  const kilobytes = unit("kilobyte", "short", { maximumFractionDigits: 0 });
  const megabytes = unit("megabyte", "short", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
  const number = numeral({ maximumFractionDigits: 8 });
  const plural = (count: number, given: PluralForms): string => given[rules.select(count)] ?? given.other;
  return {
    locale,
    number,
    plural,
    counted: (count, one, other) => `${number(count)} ${plural(count, { one, other })}`,
    cost: (amount) => (amount < SMALLEST_COST ? `< ${small(SMALLEST_COST)}` : amount < 0.1 ? small(amount) : cents(amount)),
    wholeCost: cents,
    exactCost: dollars({ minimumFractionDigits: 0, maximumFractionDigits: 8 }),
    ...durations(unit),
    countdown: (seconds) => `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`,
    percent: numeral({ style: "percent", maximumFractionDigits: 0 }),
    bytes: (bytes) => (bytes < 1_000_000 ? kilobytes(bytes / 1000) : megabytes(bytes / 1_000_000)),
    month: (value, now) => (value.getFullYear() === now.getFullYear() ? month(value) : monthOfYear(value)),
    day: date({ dateStyle: "medium" }),
    utcDay: date({ dateStyle: "medium", timeZone: "UTC" }),
    dateTime: date({ dateStyle: "full", timeStyle: "short" }),
  };
}

function durations(
  unit: (name: string, unitDisplay: "narrow", options?: Intl.NumberFormatOptions) => (value: number) => string,
): Pick<Formats, "duration" | "elapsed"> {
  const whole = { maximumFractionDigits: 0 };
  const milliseconds = unit("millisecond", "narrow", whole);
  const tenths = unit("second", "narrow", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
  const [seconds, minutes] = [unit("second", "narrow", whole), unit("minute", "narrow", whole)];
  const counted = (all: number): string => (all < 60 ? seconds(all) : `${minutes(Math.floor(all / 60))} ${seconds(all % 60)}`);
  return {
    duration: (taken) => {
      if (taken < SECOND_MS) return milliseconds(taken);
      return taken < 9.95 * SECOND_MS ? tenths(taken / SECOND_MS) : counted(Math.round(taken / SECOND_MS));
    },
    elapsed: (taken) => counted(Math.floor(taken / SECOND_MS)),
  };
}

/** Days of the calendar from one to the other, in the browser's time zone. A day may have 23 or 25 hours. */
export function daysBetween(from: Date, to: Date): number {
  const midnight = (date: Date): number => Date.UTC(date.getFullYear(), date.getMonth(), date.getDate());
  return Math.round((midnight(to) - midnight(from)) / DAY_MS);
}
