// What requests to models took, day by day. REST counts a day from midnight to midnight UTC, and so does this. Pure.
import type { UsageAnswer, UsageRow } from "./rest";

export const PERIODS = [7, 30, 90] as const;
export type Period = (typeof PERIODS)[number];

export const MEASURES = ["tokens", "cost"] as const;
export type Measure = (typeof MEASURES)[number];

const DAY_MS = 86_400_000;

export interface Usage {
  readonly days: readonly Day[];
  readonly agents: readonly UsageRow[];
  readonly models: readonly UsageRow[];
  readonly total: UsageRow;
}

export interface Day {
  /** Its beginning. */
  readonly date: Date;
  /** Null when nothing was asked on it. */
  readonly row: UsageRow | null;
}

/** The first of this many days, of which that of `now` is the last: as REST writes a day. */
export function firstDay(period: Period, now: Date): string {
  return nameOf(midnight(now) - (period - 1) * DAY_MS);
}

/** Every day from the first one to that of `until`, also those of which there is nothing. */
export function daysOf({ since, until, rows }: Pick<UsageAnswer, "since" | "until" | "rows">): Day[] {
  const byDay = new Map(rows.map((row) => [row.group.day, row]));
  const [first, last] = [midnight(new Date(since)), midnight(new Date(until))];
  return Array.from({ length: Math.max(0, Math.round((last - first) / DAY_MS) + 1) }, (_, at) => {
    const time = first + at * DAY_MS;
    return { date: new Date(time), row: byDay.get(nameOf(time)) ?? null };
  });
}

function midnight(date: Date): number {
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate());
}

function nameOf(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}

export function tokensOf(row: UsageRow | null): number {
  return row ? row.input_tokens + row.output_tokens : 0;
}

/** Null where no price is known at all. */
export function costOf(row: UsageRow | null): number | null {
  if (row === null) return 0;
  return row.requests > 0 && row.unpriced === row.requests ? null : Number(row.cost_usd);
}

export function valueOf(row: UsageRow | null, measure: Measure): number {
  return measure === "tokens" ? tokensOf(row) : (costOf(row) ?? 0);
}

export interface Bar {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface ChartSize {
  readonly width: number;
  readonly height: number;
}

export interface Chart {
  /** What the upper edge stands for. */
  readonly top: number;
  /** Of a value that is not 0 something is seen. */
  readonly bars: readonly (Bar | null)[];
}

const GAP = 0.25;
const LEAST = 0.012;

/** Bars of the same width, side by side over the whole width, on the lower edge. */
export function chartOf(values: readonly number[], { width, height }: ChartSize): Chart {
  const top = roundAbove(Math.max(0, ...values));
  const step = width / Math.max(1, values.length);
  const bars = values.map((value, at) => {
    if (value <= 0) return null;
    const tall = Math.max(LEAST, value / top) * height;
    return { x: rounded(at * step + (step * GAP) / 2), y: rounded(height - tall), width: rounded(step * (1 - GAP)), height: rounded(tall) };
  });
  return { top, bars };
}

/** The next number of few digits: not below. Of nothing it is 1. */
export function roundAbove(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  // 0.3 / 0.1 is a little more than 3.
  const factor = [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((each) => value / power <= each * (1 + 1e-9)) ?? 10;
  return Number((factor * power).toPrecision(3));
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}

/** The day under a place of the chart; `share` is how far it is from the left edge, of the whole width. */
export function dayAt(share: number, count: number): number {
  return Math.max(0, Math.min(count - 1, Math.floor(share * count)));
}
