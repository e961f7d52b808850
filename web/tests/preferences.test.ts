import assert from "node:assert/strict";
import { test } from "node:test";
import { Preferences, type Tabs } from "../src/chat/preferences";
import type { Me } from "../src/chat/rest";
import { RestError, type RestRequest } from "../src/session/rest";

const me = (default_agent: string | null): Me => ({ id: "7", username: "ann", email: "", default_agent });

/** The browser's tabs: what one says, the others hear. */
function tabs(count: number): Tabs[] {
  const heard: ((message: MessageEvent) => void)[][] = Array.from({ length: count }, () => []);
  return heard.map((listeners, own) => ({
    postMessage: (data: unknown) => heard.forEach((each, at) => at !== own && each.forEach((listen) => listen({ data } as MessageEvent))),
    addEventListener: (_: string, listen: (message: MessageEvent) => void) => void listeners.push(listen),
    close: () => listeners.splice(0),
  })) as Tabs[];
}

/** A server that answers when the test wants it to. */
class Server {
  agent: string | null = null;
  refuses = false;
  readonly waiting: (() => void)[] = [];

  readonly fetch = (wanted: Omit<RestRequest, "token">): Promise<unknown> => {
    const told = this.agent;
    return new Promise((resolve, reject) =>
      this.waiting.push(() => {
        if (wanted.method === "GET") resolve(me(told));
        else if (this.refuses) reject(new RestError("AGENT_NOT_FOUND", "", 404));
        else resolve(me((this.agent = (wanted.body as { default_agent: string | null }).default_agent)));
      }),
    );
  };

  answer(): void {
    this.waiting.shift()?.();
  }
}

test("a choice is seen at once, and in the other tabs when the server has it", async () => {
  const server = new Server();
  const [one, two] = tabs(2).map((each) => new Preferences(server.fetch, me(null), each)) as [Preferences, Preferences];
  const choosing = one.chooseDefaultAgent("data");
  assert.deepEqual([one.defaultAgent.value, two.defaultAgent.value], ["data", null]);
  server.answer();
  await choosing;
  assert.deepEqual([one.defaultAgent.value, two.defaultAgent.value, server.agent], ["data", "data", "data"]);
});

test("a choice that the server refuses is taken back, and told to nobody", async () => {
  const server = new Server();
  server.refuses = true;
  const [one, two] = tabs(2).map((each) => new Preferences(server.fetch, me("triage"), each)) as [Preferences, Preferences];
  const choosing = one.chooseDefaultAgent("data");
  server.answer();
  await assert.rejects(choosing, { code: "AGENT_NOT_FOUND" });
  assert.deepEqual([one.defaultAgent.value, two.defaultAgent.value], ["triage", "triage"]);
});

test("what was asked before a choice does not undo it", async () => {
  const server = new Server();
  const preferences = new Preferences(server.fetch, me("triage"), null);
  const reloading = preferences.reload();
  const choosing = preferences.chooseDefaultAgent("data");
  server.answer();
  await reloading;
  assert.equal(preferences.defaultAgent.value, "data");
  server.answer();
  await choosing;
  assert.equal(preferences.defaultAgent.value, "data");
});

test("another device's choice is found, and another person's word is not heard", async () => {
  const server = new Server();
  const [one, two] = tabs(2) as [Tabs, Tabs];
  const preferences = new Preferences(server.fetch, me(null), one);
  server.agent = "data";
  const reloading = preferences.reload();
  server.answer();
  await reloading;
  assert.equal(preferences.defaultAgent.value, "data");
  two.postMessage({ person: "8", defaultAgent: "theirs" });
  assert.equal(preferences.defaultAgent.value, "data");
  preferences.close();
  two.postMessage({ person: "7", defaultAgent: "late" });
  assert.equal(preferences.defaultAgent.value, "data");
});
