import assert from "node:assert/strict";
import { test } from "node:test";
import { Interruption } from "../src/chat/interruption";
import { FakeClock } from "./fake_clock";

test("a short break is not mentioned, neither its beginning nor its end", async () => {
  const clock = new FakeClock();
  const line = new Interruption(clock);
  line.look(false);
  await clock.pass(1400);
  line.look(true);
  await clock.pass(60_000);
  assert.equal(line.shown.value, "nothing");
  for (let times = 0; times < 20; times += 1) {
    line.look(times % 2 === 0);
    await clock.pass(700);
    assert.equal(line.shown.value, "nothing", "nor a connection that comes and goes");
  }
});

test("a longer break is mentioned until it is over, and its end for a moment", async () => {
  const clock = new FakeClock();
  const line = new Interruption(clock);
  line.look(false);
  await clock.pass(1500);
  assert.equal(line.shown.value, "away");
  line.look(false);
  await clock.pass(60_000);
  assert.equal(line.shown.value, "away");
  line.look(true);
  assert.equal(line.shown.value, "back");
  await clock.pass(2500);
  assert.equal(line.shown.value, "nothing");
  line.look(false);
  line.close();
  assert.equal(clock.waiting, 0);
});
