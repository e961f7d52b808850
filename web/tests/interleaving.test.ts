// Whatever comes between – lost sockets, replays, late pages of REST, reloads – the page ends with what the server has, and
// shows nothing on the way that was not so: no text twice, no ended answer open again, no question lost or there twice.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ChosenBranches } from "../src/chat/chosen_branches";
import { Conversation } from "../src/chat/conversation";
import { Delivery } from "../src/chat/delivery";
import { Draft } from "../src/chat/drafts";
import type { RestRequest } from "../src/session/rest";
import { type Answer, answerView, type AnswerView } from "../src/chat/turns";
import { threadsLoaded } from "../src/protocol/fold";
import { isOpen } from "../src/protocol/frames";
import { restored, stored } from "../src/protocol/outbox";
import { foldEvent, unbegun } from "../src/protocol/run";
import { seeded } from "./corpus";
import { FakeClock, settle } from "./fake_clock";
import { ModelServer } from "./model_server";
import { below, toldRun } from "./told_runs";

const EXAMPLES = Number(process.env["INTERLEAVINGS"] ?? 200);
const STEPS = 45;

const KINDS = [
  "advance", "advance", "advance", "deliver", "deliver", "deliver", "draw", "draw", "ask elsewhere", "send", "drop", "drop with code",
  "wait", "read", "read older", "answer", "answer", "repeat", "resume twice", "steps", "reload", "prune", "other thread", "regenerate",
] as const;

interface Step {
  readonly kind: (typeof KINDS)[number];
  readonly n: number;
}

/** One page on one server. Timers are the test's own. */
class World {
  readonly clock = new FakeClock();
  readonly server: ModelServer;
  delivery!: Delivery;
  conversation!: Conversation;
  readonly sent: string[] = [];
  #kept = "[]";
  #requests: (() => void)[] = [];
  #shownEnded = new Map<string, string>();
  #shownQuestions = new Set<string>();
  #page = 0;

  constructor(seed: number) {
    this.server = new ModelServer(seeded(seed));
    this.server.begin("thread", { id: "first", content: "first" });
  }

  /** A page is opened, with what the one before has kept. */
  async open(): Promise<void> {
    this.delivery?.stop();
    this.conversation?.close();
    this.server.socket?.close();
    this.#page += 1;
    const page = this.#page;
    this.#shownEnded.clear();
    this.#shownQuestions.clear();
    this.delivery = new Delivery({
      clock: this.clock,
      random: () => 0.5,
      token: async () => "token",
      dial: this.server.dial,
      nextFrame: (act) => void this.clock.after(16, act),
      events: {
        established: (frame, first) => {
          const newest = Math.max(0, ...Object.values(this.conversation.history.value.runs).map((run) => run.run_number));
          if (first && frame.last_run_number > newest) void this.conversation.load();
        },
        noticed: () => {},
        accepted: ({ messageId }) => this.conversation.accepted(messageId),
        refused: (message) => assert.fail(`${message.messageId} was refused`),
        failed: (error) => assert.fail(error.error_code),
        stale: ({ all, threads }) => {
          if (all || threads.length > 0) this.delivery.update(threadsLoaded);
          if (all || threads.includes("thread")) void this.conversation.load();
        },
        outboxChanged: (outbox) => {
          if (page === this.#page) this.#kept = stored(outbox);
        },
      },
    });
    const draft = new Draft({ text: "", files: [] }, () => {});
    this.conversation = new Conversation("thread", { fetch: this.#fetch, delivery: this.delivery, branches: new ChosenBranches("1"), draft, agent: null });
    this.delivery.start(restored(this.#kept));
    void this.conversation.load();
    await settle();
  }

  /** REST answers with what was so when it was asked, as late as the test lets it. */
  readonly #fetch = ({ path }: Omit<RestRequest, "token">): Promise<unknown> => {
    const page = this.server.page("thread", new URL(path, "http://x").searchParams.get("leaf"));
    return new Promise((resolve) => this.#requests.push(() => resolve(page)));
  };

  async step({ kind, n }: Step): Promise<void> {
    const { server, conversation, clock } = this;
    const run = server.runs[n % server.runs.length]!;
    if (kind === "advance") server.advance(run, 1 + (n % 5));
    else if (kind === "deliver") server.socket?.deliver(1 + (n % 9));
    else if (kind === "draw") await clock.pass(16);
    else if (kind === "ask elsewhere") server.begin("thread", { id: `elsewhere ${server.runs.length}`, content: "?" });
    else if (kind === "other thread") server.begin("other", { id: `other ${server.runs.length}`, content: "?" });
    else if (kind === "send") this.#send();
    else if (kind === "drop") server.socket?.drop(1006);
    else if (kind === "drop with code") server.socket?.drop([4401, 4408, 4412, 4503][n % 4]!);
    else if (kind === "wait") await clock.pass(2500);
    else if (kind === "read") void conversation.load();
    else if (kind === "read older") void conversation.loadOlder();
    else if (kind === "answer") this.#requests.splice(n % Math.max(1, this.#requests.length), 1)[0]?.();
    else if (kind === "repeat") server.socket?.repeat(run);
    else if (kind === "resume twice") server.socket?.send(JSON.stringify({ type: "resume", cursors: { [run.told.id]: Math.min(n % 3, run.happened) } }));
    else if (kind === "steps") conversation.showSteps(run.told.id);
    else if (kind === "reload") await this.open();
    else if (kind === "prune" && run.ended) run.pruned = true;
    else if (kind === "regenerate" && server.isAnswered(run)) server.begin(run.told.thread, run.told.question);
    await settle();
  }

  #send(): void {
    const messageId = `mine ${this.sent.length}`;
    this.sent.push(messageId);
    this.delivery.enqueue({ messageId, conversation: "thread", threadId: "thread", content: messageId, agent: null });
  }

  /** Nothing is lost any more: all runs end, all is delivered, all is read. */
  async heal(): Promise<void> {
    for (let round = 0; round < 60; round += 1) {
      for (const request of this.#requests.splice(0)) request();
      await this.clock.pass(40_000 / 60 + 600);
      this.server.socket?.deliver(10_000);
      for (const run of this.server.runs) this.server.advance(run, 3);
      if (round > 40) void this.conversation.loadOlder();
      await settle();
    }
  }

  /** What is so at every moment. */
  check(): void {
    // Before that the page draws nothing of it.
    if (!this.conversation.loaded.value) return;
    const turns = this.conversation.turns.value;
    const keys = turns.map((turn) => turn.key);
    assert.equal(new Set(keys).size, keys.length, `a turn is there twice: ${keys.join()}`);
    const answers = turns.flatMap((turn) => turn.answer ?? []);
    assert.equal(new Set(answers.map((answer) => answer.runId)).size, answers.length, "an answer is there twice");
    const oldest = Math.min(...numbersOf(answers));
    for (const { question } of turns) if (question) this.#shownQuestions.add(question.id);
    const way = this.#wayTo(keys.findLast((id) => this.server.runs.some((run) => run.told.question.id === id)) ?? null);
    for (const id of this.#shownQuestions) {
      const number = this.server.runs.find((run) => run.told.question.id === id)?.told.number;
      // What REST shows after a long gap begins anew with its newest page, and other branches are not shown.
      if (number !== undefined && (number < oldest || !way.has(id))) continue;
      assert.ok(keys.includes(id), `the question ${id} is no longer there`);
    }
    const asked = keys.map((id) => this.server.runs.findIndex((run) => run.told.question.id === id)).filter((place) => place >= 0);
    assert.deepEqual(asked, [...asked].sort((a, b) => a - b), "in the order in which they were asked");
    for (const answer of answers) this.#checkAnswer(answer.runId, answerView(answer));
  }

  #wayTo(message: string | null): Set<string> {
    const way = new Set<string>();
    for (let id = message; id !== null; id = this.server.parentOf(id)) way.add(id);
    return way;
  }

  #checkAnswer(id: string, view: AnswerView): void {
    const run = this.server.runs.find((each) => each.told.id === id);
    assert.ok(run, `there is no ${id}`);
    assert.ok(textsOf(run.told.log).has(view.text), `${id} never said “${view.text}”`);
    const before = this.#shownEnded.get(id);
    if (before !== undefined) assert.equal(`${view.status}: ${view.text}`, before, `${id} had ended`);
    if (!isOpen(view.status)) this.#shownEnded.set(id, `${view.status}: ${view.text}`);
  }

  /** What the page has come to. */
  checkEnd(): void {
    const { runs } = this.server;
    const asked = [...new Set(runs.map((run) => run.told.question.id))];
    assert.deepEqual(asked.filter((id) => this.sent.includes(id)), this.sent, "each arrived, in the order in which they were sent");
    assert.deepEqual(this.delivery.outbox.value, []);
    // One way through the thread: each question follows what is shown before it, and nothing is left to follow the end.
    const shown = this.conversation.turns.value;
    let before: readonly (string | null)[] = [null];
    for (const { question, answer } of shown) {
      assert.equal(question?.state, "sent");
      assert.ok(before.includes(this.server.parentOf(question?.id ?? "")), `${question?.id} does not follow ${before.join()}`);
      const run = runs.find((each) => each.told.id === answer?.runId);
      assert.ok(run && answer && run.told.question.id === question?.id, `${question?.id} has its answer`);
      const live = run.told.log.reduce(foldEvent, unbegun(run.told.number, "thread", "queued"));
      assert.deepEqual(seen(answerView(answer)), seen(answerView({ runId: run.told.id, live, rest: null, message: null })));
      before = [live.message?.id ?? run.told.question.id, run.told.question.id];
    }
    const [end] = before;
    assert.deepEqual(runs.filter((run) => run.told.thread === "thread" && this.server.parentOf(run.told.question.id) === end), [], "it goes on");
    if (!this.conversation.branch.isOlder.value) {
      const newest = runs.findLast((run) => run.told.thread === "thread");
      assert.equal(shown.at(-1)?.answer?.runId, newest?.told.id);
    }
    assert.deepEqual(this.conversation.openRunIds.value, [], "nothing is waited for");
  }
}

function numbersOf(answers: readonly Answer[]): number[] {
  return answers.map(({ live, rest }) => live?.run_number ?? rest?.run_number ?? 0);
}

function seen({ status, text, error, cancelledBy, messageId }: AnswerView): unknown {
  return { status, text, error: error?.code ?? null, cancelledBy, messageId };
}

/** Each text that the answer has at some moment. */
function textsOf(log: ReturnType<typeof toldRun>["log"]): Set<string> {
  let state = unbegun(1, "thread", "queued");
  const texts = new Set([""]);
  for (const event of log) {
    state = foldEvent(state, event);
    texts.add(state.text);
  }
  return texts;
}

async function failureOf(seed: number, steps: readonly Step[]): Promise<Error | null> {
  const world = new World(seed);
  const { setTimeout } = globalThis;
  globalThis.setTimeout = ((act: () => void, milliseconds = 0) => world.clock.after(milliseconds, act)) as unknown as typeof setTimeout;
  try {
    await world.open();
    for (const step of steps) {
      await world.step(step);
      world.check();
    }
    await world.heal();
    world.check();
    world.checkEnd();
    return null;
  } catch (error) {
    return error as Error;
  } finally {
    world.delivery.stop();
    world.conversation.close();
    globalThis.setTimeout = setTimeout;
  }
}

/** The failing steps without those that are not needed for it. */
async function shortest(seed: number, steps: readonly Step[]): Promise<readonly Step[]> {
  for (let size = steps.length >> 1; size >= 1; size >>= 1) {
    for (let start = 0; start + size <= steps.length; ) {
      const rest = [...steps.slice(0, start), ...steps.slice(start + size)];
      if (await failureOf(seed, rest)) steps = rest;
      else start += size;
    }
  }
  return steps;
}

test("any interleaving of live events, replays, pages of REST, losses and reloads ends as the plain sequence does", async () => {
  for (let seed = 1; seed <= EXAMPLES; seed += 1) {
    const random = seeded(seed * 7919);
    const steps = Array.from({ length: STEPS }, (): Step => ({ kind: KINDS[below(random, KINDS.length)]!, n: below(random, 1000) }));
    if (!(await failureOf(seed, steps))) continue;
    const few = await shortest(seed, steps);
    const error = await failureOf(seed, few);
    assert.fail(`seed ${seed}, after ${few.map(({ kind, n }) => `${kind} ${n}`).join(", ")}: ${error?.stack}`);
  }
});
