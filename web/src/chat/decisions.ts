// What the person has answered to requests for approval, until the run's log says what holds.
import { signal } from "@preact/signals";
import type { Command, ErrorMessage } from "../protocol/frames";
import type { Refusal } from "../protocol/outbox";

export interface Decision {
  readonly runId: string;
  readonly toolCallId: string;
  readonly approved: boolean;
  readonly reason: string;
  readonly ref: string;
  /** `answered`: the server has taken it, or an earlier one; the event will tell. */
  readonly state: "sending" | "answered" | "refused";
  readonly refusal: Refusal | null;
}

const REF = "approval:";

export class Decisions {
  readonly made = signal<readonly Decision[]>([]);

  #send: (command: Command) => boolean;
  #count = 0;

  constructor(send: (command: Command) => boolean) {
    this.#send = send;
  }

  of(runId: string, toolCallId: string): Decision | null {
    return this.made.value.find((made) => made.runId === runId && made.toolCallId === toolCallId) ?? null;
  }

  /** Answer once; again only when the server has refused the answer before. */
  decide(runId: string, toolCallId: string, approved: boolean, reason = ""): void {
    const before = this.of(runId, toolCallId);
    if (before && before.state !== "refused") return;
    this.#count += 1;
    const made: Decision = { runId, toolCallId, approved, reason, ref: REF + this.#count, state: "sending", refusal: null };
    this.made.value = [...this.made.value.filter((each) => each !== before), made];
    this.#send(command(made));
  }

  /** A new connection: whether an answer without a reply was taken, nobody knows. The server takes the first one only. */
  sendAgain(): void {
    for (const made of this.made.value) {
      if (made.state === "sending") this.#send(command(made));
    }
  }

  answered(ref: string | undefined): void {
    this.#change(ref, { state: "answered" });
  }

  /** Whether the error is one answer's. When somebody else was first, it is none: the event tells the person. */
  refused(error: ErrorMessage): boolean {
    if (!error.ref?.startsWith(REF)) return false;
    const wasAnswered = error.error_code === "APPROVAL_NOT_FOUND" && typeof error.details?.["approved"] === "boolean";
    this.#change(error.ref, wasAnswered ? { state: "answered" } : { state: "refused", refusal: error });
    return true;
  }

  /** The log has an answer to this call, or, without one, the run's end. */
  settled(runId: string, toolCallId?: string): void {
    const rest = this.made.value.filter((made) => made.runId !== runId || (toolCallId !== undefined && made.toolCallId !== toolCallId));
    if (rest.length < this.made.value.length) this.made.value = rest;
  }

  #change(ref: string | undefined, change: Partial<Decision>): void {
    if (ref === undefined) return;
    this.made.value = this.made.value.map((made) => (made.ref === ref ? { ...made, ...change } : made));
  }
}

function command({ ref, runId, toolCallId, approved, reason }: Decision): Command {
  const answer = { type: "resolve_approval", ref, run_id: runId, tool_call_id: toolCallId, approved } as const;
  return reason === "" ? answer : { ...answer, reason };
}
