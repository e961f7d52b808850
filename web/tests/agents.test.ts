import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { Agents } from "../src/chat/agents";
import type { AgentDescription } from "../src/chat/rest";
import { RestError } from "../src/session/rest";
import { settle } from "./fake_clock";

const described = (name: string): AgentDescription => ({ name, description: `does ${name}`, model: "offline", examples: [] });

/** What the browser keeps, as far as the page uses it. */
class Kept {
  [key: string]: unknown;

  getItem(key: string): string | null {
    return (this[key] as string | undefined) ?? null;
  }

  setItem(key: string, text: string): void {
    this[key] = text;
  }

  removeItem(key: string): void {
    delete this[key];
  }
}

const before = Object.getOwnPropertyDescriptor(globalThis, "localStorage");

beforeEach(() => Object.defineProperty(globalThis, "localStorage", { value: new Kept(), configurable: true }));
afterEach(() => {
  if (before) Object.defineProperty(globalThis, "localStorage", before);
  else Reflect.deleteProperty(globalThis, "localStorage");
});

const answering = (...names: string[]) => async () => ({ agents: names.map(described) });

test("the agents are those that the connection names, described as far as the server tells", async () => {
  const agents = new Agents(answering("data", "triage", "hidden"), "1");
  agents.announced(["triage", "data", "mine"]);
  assert.deepEqual(agents.offered.value.map((agent) => agent.described), [null, null, null]);
  await settle();
  assert.deepEqual(
    agents.offered.value.map((agent) => [agent.name, agent.described?.description ?? null]),
    [["triage", "does triage"], ["data", "does data"], ["mine", null]],
  );
});

test("without descriptions the names do", async () => {
  const agents = new Agents(() => Promise.reject(new RestError("HTTP_404", "", 404)), "1");
  agents.announced(["triage", "data"]);
  await settle();
  assert.deepEqual(agents.offered.value.map((agent) => agent.name), ["triage", "data"]);
});

test("the first wish that is offered is met, else the server's default", () => {
  const agents = new Agents(answering(), "1");
  assert.equal(agents.choose("data"), null);
  agents.announced(["triage", "data"]);
  assert.equal(agents.choose(null, "gone", "data", "triage"), "data");
  assert.equal(agents.choose("gone", null), "triage");
});

test("a choice is kept for its thread, and one in a new conversation for new conversations; each person has their own", () => {
  const agents = new Agents(answering(), "1");
  agents.remember("thread", "data");
  assert.deepEqual([agents.chosenIn("thread"), agents.chosenIn("other"), agents.chosenIn(null)], ["data", null, null]);
  agents.remember(null, "triage");
  assert.deepEqual([agents.chosenIn(null), new Agents(answering(), "2").chosenIn(null)], ["triage", null]);
  assert.equal(new Agents(answering(), "1").chosenIn("thread"), "data");
});

test("signing out leaves no choice behind", () => {
  const agents = new Agents(answering(), "1");
  agents.remember("thread", "data");
  agents.remember(null, "data");
  agents.forget();
  assert.deepEqual(Object.keys(localStorage), []);
});
