// A server of the protocol in memory: runs that go on event by event, sockets that lose what was not yet delivered, and
// REST as it is at the moment of a request (docs/protocol.md, sections 2 and 5).
import type { MessagesPage, RestMessage, RestRun } from "../src/chat/rest";
import type { Wire, WireEvents } from "../src/protocol/connection";
import { type Command, type Frame, isOpen, type RunEvent } from "../src/protocol/frames";
import { foldEvent, type RunState, unbegun } from "../src/protocol/run";
import { RestError } from "../src/session/rest";
import { established } from "./frames";
import { type Random, type ToldRun, toldRun } from "./told_runs";

export const PAGE = 6;

export class ModelRun {
  readonly told: ToldRun;
  /** How many of its events have happened. */
  happened = 1;
  pruned = false;

  constructor(told: ToldRun) {
    this.told = told;
  }

  get events(): readonly RunEvent[] {
    return this.told.log.slice(0, this.happened);
  }

  get state(): RunState {
    return this.events.reduce(foldEvent, unbegun(this.told.number, this.told.thread, "queued"));
  }

  get ended(): boolean {
    return this.happened === this.told.log.length;
  }
}

class ModelSocket implements Wire {
  readonly queue: Frame[] = [];
  readonly baseline: number;
  #server: ModelServer;
  #events: WireEvents;
  #sent = new Map<ModelRun, number>();
  open = true;

  constructor(server: ModelServer, events: WireEvents) {
    this.#server = server;
    this.#events = events;
    this.baseline = server.runs.length;
    const open = server.runs.filter((run) => !run.ended);
    this.queue.push(
      established({
        last_run_number: this.baseline,
        open_runs: open.map((run) => ({
          run_id: run.told.id,
          run_number: run.told.number,
          thread_id: run.told.thread,
          status: run.state.status,
          last_seq: run.happened,
        })),
      }),
    );
  }

  /** The next frames reach the page. */
  deliver(count: number): void {
    for (const frame of this.queue.splice(0, count)) if (this.open) this.#events.received(JSON.stringify(frame));
  }

  /** An event that it has had comes once more. */
  repeat(run: ModelRun): void {
    const had = this.#sent.get(run) ?? 0;
    this.queue.push(...run.events.slice(0, had).slice(-2));
  }

  drop(code: number): void {
    if (!this.open) return;
    this.open = false;
    this.#events.closed(code);
  }

  close(): void {
    this.open = false;
  }

  send(text: string): void {
    if (!this.open) return;
    const command = JSON.parse(text) as Command;
    if (command.type === "resume") this.#resume(command.cursors, command.after_run);
    else if (command.type === "user_message") this.#take(command);
    else if (command.type === "ping") this.queue.push({ type: "pong", threads_version: 0 });
  }

  /** Follow the run to where it is now. */
  follow(run: ModelRun): void {
    if (run.told.number > this.baseline && !this.#sent.has(run)) this.#sent.set(run, 0);
    const sent = this.#sent.get(run);
    if (sent === undefined) return;
    this.queue.push(...run.events.slice(sent));
    this.#sent.set(run, Math.max(sent, run.happened));
  }

  #resume(cursors: Readonly<Record<string, number>>, after?: number): void {
    const { runs } = this.#server;
    const named = runs.filter((run) => run.told.id in cursors);
    const missed = runs.filter((run) => after !== undefined && run.told.number > after && run.told.number <= this.baseline && !named.includes(run));
    const wanted = [...named, ...missed].sort((a, b) => a.told.number - b.told.number);
    const told = wanted.filter((run) => !run.pruned);
    for (const run of told) this.#sent.set(run, cursors[run.told.id] ?? 0);
    this.queue.push({
      type: "resumed",
      runs: Object.fromEntries(
        told.map((run) => [
          run.told.id,
          { run_number: run.told.number, status: run.state.status, from_seq: (cursors[run.told.id] ?? 0) + 1, last_seq: run.happened },
        ]),
      ),
      snapshot_required: wanted.filter((run) => run.pruned).map((run) => run.told.id),
      gone: Object.keys(cursors).filter((id) => !runs.some((run) => run.told.id === id)),
    });
    for (const run of told) this.follow(run);
  }

  #take(command: Extract<Command, { type: "user_message" }>): void {
    const { message_id, content, thread_id = "thread" } = command;
    const known = this.#server.runs.find((run) => run.told.question.id === message_id);
    const run = known ?? this.#server.begin(thread_id, { id: message_id, content });
    const accepted: Frame = { type: "message_accepted", ref: message_id, message_id, thread_id, run_id: run.told.id, run_number: run.told.number };
    // No order between the acceptance and the run's first event is promised.
    const place = this.#server.random() < 0.5 ? this.queue.length : Math.max(0, this.queue.length - 1);
    this.queue.splice(place, 0, accepted);
  }
}

export class ModelServer {
  readonly runs: ModelRun[] = [];
  readonly random: Random;
  /** What each message of a thread follows. */
  #parents = new Map<string, string | null>();
  socket: ModelSocket | null = null;

  constructor(random: Random) {
    this.random = random;
  }

  readonly dial = (_token: string, events: WireEvents): Wire => {
    this.socket = new ModelSocket(this, events);
    return this.socket;
  };

  /** A question's first answer, or another one beside those that it has. */
  begin(thread: string, question: { readonly id: string; readonly content: string }): ModelRun {
    const isNew = this.runs.every((run) => run.told.question.id !== question.id);
    const number = this.runs.length + 1;
    const last = this.runs.findLast((each) => each.told.thread === thread);
    const parent = isNew ? (last ? (last.state.message?.id ?? last.told.question.id) : null) : this.parentOf(question.id);
    const asked = parent === null ? question : { ...question, parent_id: parent };
    const run = new ModelRun(toldRun(this.random, { id: `run ${number}`, number, thread, question: asked }));
    this.runs.push(run);
    if (isNew) this.#parents.set(question.id, parent);
    this.socket?.follow(run);
    return run;
  }

  /** The next events of a run happen. */
  advance(run: ModelRun, count: number): void {
    if (run.ended) return;
    run.happened = Math.min(run.told.log.length, run.happened + count);
    const answer = run.state.message?.id;
    if (answer !== undefined) this.#adopt(run, answer);
    this.socket?.follow(run);
  }

  /** A question has one open run at most. */
  isAnswered({ told }: ModelRun): boolean {
    return this.runs.every((run) => run.told.question.id !== told.question.id || run.ended);
  }

  parentOf(messageId: string): string | null {
    return this.#parents.get(messageId) ?? null;
  }

  /** Questions that waited for the answer follow it. */
  #adopt({ told }: ModelRun, answer: string): void {
    this.#parents.set(answer, told.question.id);
    for (const later of this.runs) {
      if (later.told.number > told.number && this.#parents.get(later.told.question.id) === told.question.id) {
        this.#parents.set(later.told.question.id, answer);
      }
    }
  }

  /** The messages of the thread as they are now: the way to `leaf`, or to its end. */
  page(thread: string, leaf: string | null): MessagesPage {
    if (thread !== "thread") throw new RestError("THREAD_NOT_FOUND", "", 404);
    const last = this.runs.findLast((run) => run.told.thread === thread);
    const shown: RestMessage[] = [];
    let id: string | null = leaf ?? last?.state.message?.id ?? last?.told.question.id ?? null;
    for (; id !== null && shown.length < PAGE; id = this.#parents.get(id) ?? null) shown.unshift(this.#message(id));
    const asked = new Set(shown.flatMap((message) => [message.id, message.parent_id]));
    return {
      messages: shown,
      runs: this.runs.filter((run) => asked.has(run.told.question.id) || asked.has(run.state.message?.id ?? "")).map(restRun),
      previous: id,
    };
  }

  #message(id: string): RestMessage {
    const run = this.runs.find(({ told, state }) => told.question.id === id || state.message?.id === id);
    if (!run) throw new RestError("MESSAGE_NOT_FOUND", id, 404);
    const { told, state } = run;
    const isQuestion = told.question.id === id;
    return {
      id,
      role: isQuestion ? "user" : "assistant",
      content: (isQuestion ? told.question : state.message)?.content ?? "",
      parent_id: this.#parents.get(id) ?? null,
      created_at: "",
      run_id: told.id,
      partial: !isQuestion && state.status !== "completed",
      attachments: [],
      siblings: [id],
      feedback: null,
    };
  }
}

function restRun(run: ModelRun): RestRun {
  const { state, told } = run;
  return {
    id: told.id,
    run_number: told.number,
    status: state.status,
    agent: "assistant",
    input_message_id: told.question.id,
    output_message_id: isOpen(state.status) ? null : (state.message?.id ?? null),
    last_seq: run.happened,
    error_code: state.error?.error_code ?? null,
    error_message: state.error?.error_message ?? null,
    cancelled_by: state.cancelled_by,
    duration_ms: state.duration_ms,
    usage: state.usage,
  };
}
