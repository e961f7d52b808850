// Runs as an agent could tell them, made from a source of numbers: all types of events, in orders that the protocol allows.
import type { RunEvent, RunEventData, RunEventType } from "../src/protocol/frames";
import { event } from "./frames";

export type Random = () => number;

export interface ToldRun {
  readonly id: string;
  readonly number: number;
  readonly thread: string;
  readonly question: { readonly id: string; readonly content: string; readonly parent_id?: string };
  readonly answerId: string;
  /** All that it will ever tell; the last one ends it. */
  readonly log: readonly RunEvent[];
}

export type Names = Pick<ToldRun, "id" | "number" | "thread" | "question">;

export function toldRun(random: Random, names: Names): ToldRun {
  const telling = new Telling(random, names);
  telling.tell();
  return { ...names, answerId: telling.answerId, log: telling.log };
}

export function below(random: Random, bound: number): number {
  return Math.floor(random() * bound);
}

class Telling {
  readonly log: RunEvent[] = [];
  readonly answerId: string;
  #random: Random;
  #names: Names;
  #text = "";
  #calls = 0;
  #step = 1;
  #attempt = 1;

  constructor(random: Random, names: Names) {
    this.#random = random;
    this.#names = names;
    this.answerId = `answer of ${names.id}`;
  }

  tell(): void {
    this.#say("message_created", { message: { role: "user", ...this.#names.question } });
    if (this.#chance(0.1)) return this.#end(2);
    this.#begin();
    for (let steps = below(this.#random, 7); steps > 0; steps -= 1) this.#act();
    if (this.#chance(0.7)) this.#chunk();
    this.#end(this.#random() < 0.6 ? 0 : 1 + below(this.#random, 2));
  }

  #act(): void {
    const acts = [() => this.#chunk(), () => this.#chunk(), () => this.#think(), () => this.#tools(), () => this.#delegate()];
    const rare = [() => this.#approval(), () => this.#restart(), () => this.#context()];
    const among = this.#chance(0.25) ? rare : acts;
    among[below(this.#random, among.length)]?.();
  }

  #begin(): void {
    this.#say("agent_started", { model: "m", attempt: this.#attempt });
  }

  #chunk(): void {
    // Every piece of text is its own, so that one that is there twice is seen.
    const text = `${this.#names.id}:${this.log.length} `;
    this.#text += text;
    this.#say("agent_response_chunk", { message_id: this.answerId, text });
  }

  #think(agent = "assistant"): void {
    if (this.#chance(0.5)) this.#step += 1;
    this.#say("agent_thinking", { step: this.#step, text: "hm " }, agent);
  }

  #tools(agent = "assistant"): void {
    const ids = Array.from({ length: 1 + below(this.#random, 3) }, () => this.#call());
    for (const id of ids) this.#say("tool_executing", { tool_call_id: id, tool: "look", arguments: { id } }, agent);
    if (this.#chance(0.3)) this.#chunk();
    for (const id of ids.reverse()) this.#tooled(id, agent);
  }

  #tooled(id: string, agent = "assistant"): void {
    const outcome = this.#chance(0.8) ? { result: { id } } : { error: "it failed" };
    this.#say("tool_completed", { tool_call_id: id, tool: "look", duration_ms: 1, ...outcome }, agent);
  }

  #delegate(): void {
    const id = this.#call();
    const asked = { subagent: "data", parent_tool_call_id: id };
    this.#say("tool_executing", { tool_call_id: id, tool: "ask", arguments: {} });
    this.#say("subagent_started", asked);
    if (this.#chance(0.7)) this.#think("data");
    if (this.#chance(0.7)) this.#tools("data");
    this.#say("subagent_completed", { ...asked, ...(this.#chance(0.8) ? { result: "42" } : { error: "lost" }) });
    this.#tooled(id);
  }

  #approval(): void {
    const id = this.#call();
    this.#say("approval_required", { tool_call_id: id, tool: "look", arguments: { id }, expires_in: 60 });
    const approved = this.#chance(0.6);
    this.#say("approval_resolved", { tool_call_id: id, approved, by: "user" });
    this.#begin();
    if (!approved) return;
    this.#say("tool_executing", { tool_call_id: id, tool: "look", arguments: { id } });
    this.#tooled(id);
  }

  #restart(): void {
    this.#attempt += 1;
    this.#text = "";
    this.#step = 1;
    this.#say("agent_restarted", { attempt: this.#attempt, reason: "worker_lost" });
    this.#begin();
  }

  #context(): void {
    const counts = { limit_tokens: 9, estimated_tokens: 99, kept_messages: 1, dropped_messages: 2, shortened_results: 3 };
    this.#say("context_reduced", counts);
  }

  #end(how: number): void {
    const message = { id: this.answerId, role: "assistant", content: this.#text } as const;
    const partial = this.#text === "" ? {} : { message };
    const usage = { model: "m", input_tokens: 1, output_tokens: 2, requests: 1 };
    if (how === 0) this.#say("agent_completed", { message, usage, duration_ms: 5 });
    else if (how === 1) this.#say("agent_error", { error_code: "MODEL_ERROR", error_message: "away", retryable: true, ...partial });
    else this.#say("agent_cancelled", { by: "user", ...partial });
  }

  #call(): string {
    this.#calls += 1;
    return `call ${this.#calls}`;
  }

  #chance(part: number): boolean {
    return this.#random() < part;
  }

  #say<Type extends RunEventType>(type: Type, data: RunEventData[Type], agent = "assistant"): void {
    const { id, number, thread } = this.#names;
    this.log.push(event(this.log.length + 1, type, data, { run_id: id, run_number: number, thread_id: thread, agent }));
  }
}
