import assert from "node:assert/strict";
import { test } from "node:test";
import type { UsageRow } from "../src/settings/rest";
import { chartOf, costOf, dayAt, daysOf, firstDay, roundAbove, tokensOf, valueOf } from "../src/settings/usage";
import { formats } from "../src/words/formats";

const row = (given: Partial<UsageRow>): UsageRow => ({
  group: {},
  requests: 1,
  failed: 0,
  unpriced: 0,
  input_tokens: 100,
  output_tokens: 10,
  cost_usd: "0.5",
  ...given,
});

test("every day from the first to the last is there, also those of which there is nothing", () => {
  const rows = [row({ group: { day: "2026-03-02" }, cost_usd: "1.5" }), row({ group: { day: "2026-02-27" } })];
  const days = daysOf({ since: "2026-02-26T00:00:00Z", until: "2026-03-02T09:30:00Z", rows });
  assert.deepEqual(
    days.map(({ date, row: found }) => [date.toISOString().slice(0, 10), found?.cost_usd ?? null]),
    [["2026-02-26", null], ["2026-02-27", "0.5"], ["2026-02-28", null], ["2026-03-01", null], ["2026-03-02", "1.5"]],
  );
});

test("days are those of UTC, wherever the browser is, and when its clocks change", () => {
  const zone = process.env["TZ"];
  try {
    for (const place of ["Pacific/Kiritimati", "America/Los_Angeles", "Europe/Lisbon"]) {
      process.env["TZ"] = place;
      const late = new Date("2026-03-29T23:30:00Z");
      assert.equal(firstDay(7, late), "2026-03-23", place);
      assert.equal(firstDay(90, late), "2025-12-30", place);
      const days = daysOf({ since: `${firstDay(90, late)}T00:00:00Z`, until: late.toISOString(), rows: [] });
      assert.equal(days.length, 90, place);
      assert.equal(formats("en").utcDay(days[89]?.date ?? new Date(0)), "Mar 29, 2026", place);
      assert.ok(days.every(({ date }) => date.getTime() % 86_400_000 === 0), place);
    }
  } finally {
    if (zone === undefined) delete process.env["TZ"];
    else process.env["TZ"] = zone;
  }
});

test("a price that is not known is not a price of nothing", () => {
  assert.equal(costOf(null), 0);
  assert.equal(costOf(row({ requests: 2, unpriced: 2, cost_usd: "0" })), null);
  assert.equal(costOf(row({ requests: 2, unpriced: 1, cost_usd: "0.25" })), 0.25);
  assert.equal(costOf(row({ requests: 0, cost_usd: "0" })), 0);
  assert.deepEqual([valueOf(row({}), "tokens"), valueOf(row({}), "cost"), valueOf(row({ unpriced: 1 }), "cost"), tokensOf(null)], [110, 0.5, 0, 0]);
});

test("bars stand side by side on the lower edge, and the highest fits", () => {
  const { top, bars } = chartOf([0, 30, 60, 120], { width: 400, height: 100 });
  assert.equal(top, 150);
  assert.equal(bars[0], null);
  assert.deepEqual(bars.map((bar) => bar?.height ?? 0), [0, 20, 40, 80]);
  for (const [place, bar] of bars.entries()) {
    if (!bar) continue;
    assert.equal(bar.y + bar.height, 100);
    assert.ok(bar.x >= place * 100 && bar.x + bar.width <= (place + 1) * 100);
  }
});

test("of the smallest value something is seen, and of nothing there is a chart, too", () => {
  const [small] = chartOf([1, 1_000_000], { width: 10, height: 160 }).bars;
  assert.ok(small && small.height >= 1 && small.y + small.height === 160);
  assert.deepEqual(chartOf([0, 0], { width: 10, height: 10 }), { top: 1, bars: [null, null] });
  assert.deepEqual(chartOf([], { width: 10, height: 10 }), { top: 1, bars: [] });
});

test("what the upper edge stands for has few digits, and is not below the highest", () => {
  for (const [value, above] of [[0, 1], [1, 1], [0.3, 0.3], [3.1, 4], [99, 100], [101, 150], [0.00021, 0.00025], [1_234_567, 1_500_000], [8.1e9, 1e10]] as const) {
    assert.equal(roundAbove(value), above);
  }
  for (let value = 1e-7; value < 1e12; value *= 1.37) {
    const above = roundAbove(value);
    assert.ok(above >= value * (1 - 1e-9) && above <= value * 2, String(value));
  }
});

test("a place of the chart belongs to one day, and what is beside it to the nearest", () => {
  assert.deepEqual([-0.5, 0, 0.249, 0.25, 0.999, 1, 7].map((share) => dayAt(share, 4)), [0, 0, 0, 1, 3, 3, 3]);
});
