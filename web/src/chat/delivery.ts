// The live half of the page: one connection, the state folded from its frames, and the outbox.
import { batch, signal } from "@preact/signals";
import type { Clock } from "../protocol/clock";
import { Connection, type ConnectionParts, type ConnectionState } from "../protocol/connection";
import { type ClientState, fold, INITIAL, movedRun, ProtocolViolation, resumeCommand, type RunState, type Stale, withRun } from "../protocol/fold";
import type { AllowanceUse, ConnectionEstablished, ErrorMessage, Frame, Limits, MessageAccepted, OpenRun, ThreadNotice } from "../protocol/frames";
import { isOpen } from "../protocol/frames";
import * as outbox from "../protocol/outbox";
import { Decisions } from "./decisions";
import { Regenerations } from "./regenerations";

export interface DeliveryParts {
  readonly clock: Clock;
  readonly random: () => number;
  readonly token: (renew: boolean) => Promise<string | null>;
  readonly dial: ConnectionParts["dial"];
  /** Act when the page is drawn next. */
  readonly nextFrame: (act: () => void) => void;
  readonly events: DeliveryEvents;
}

export interface DeliveryEvents {
  established(frame: ConnectionEstablished, first: boolean): void;
  /** A notice of the thread list that is newer than what is known. */
  noticed(frame: ThreadNotice): void;
  accepted(message: outbox.OutgoingMessage, frame: MessageAccepted): void;
  /** The server does not take this message. */
  refused(message: outbox.OutgoingMessage, error: ErrorMessage): void;
  /** An error of no message in particular. */
  failed(error: ErrorMessage): void;
  /** Something shown must be loaded over REST. */
  stale(stale: Stale): void;
  outboxChanged(outbox: outbox.Outbox): void;
}

export type RestRunName = Pick<OpenRun, "run_id" | "run_number" | "thread_id" | "status">;

const TOO_LARGE: outbox.Refusal = { error_code: "MESSAGE_TOO_LARGE", error_message: "" };
const TOKEN_REF = "token";
const SHORT_NOTICE_MS = 50_000;

export class Delivery {
  /** What the page draws; it follows `current` once per animation frame. */
  readonly state = signal<ClientState>(INITIAL);
  readonly outbox = signal<outbox.Outbox>([]);
  readonly connection = signal<ConnectionState>({ phase: "idle", failures: 0, error: null, code: null });
  /** Runs whose events the server no longer has. */
  readonly unavailable = signal<ReadonlySet<string>>(new Set());
  readonly stopping = signal<ReadonlySet<string>>(new Set());
  /** Runs that the server could not go on telling of, as they were: they are shown until REST has shown their thread. */
  readonly lostRuns = signal<ClientState["runs"]>({});
  /** What the server takes; null before it has told. */
  readonly limits = signal<Limits | null>(null);
  /** What is nearly used up, or used up, of what the person may use today, as far as the server told last. */
  readonly allowance = signal<readonly AllowanceUse[]>([]);
  readonly decisions = new Decisions((command) => this.#connection.send(command));
  readonly regenerations = new Regenerations((command) => this.#connection.send(command));

  #parts: DeliveryParts;
  #connection: Connection;
  #current: ClientState = INITIAL;
  #drawing = false;
  #baseline = 0;
  #serverAhead = 0;
  /** Named in a `resume` of this connection. */
  #named = new Set<string>();
  /** Ended runs whose events somebody wants to see. */
  #wanted = new Set<string>();

  constructor(parts: DeliveryParts) {
    this.#parts = parts;
    this.#connection = new Connection({
      clock: parts.clock,
      random: parts.random,
      token: parts.token,
      dial: parts.dial,
      frame: (frame) => this.#receive(frame),
      position: (runId) => this.#current.runs[runId]?.last_seq,
      state: (state) => this.#connectionChanged(state),
    });
  }

  get current(): ClientState {
    return this.#current;
  }

  start(waiting: outbox.Outbox): void {
    this.outbox.value = waiting;
    this.#connection.start();
  }

  stop(): void {
    this.#connection.stop();
  }

  /** Dial again after the server said stop: the person asked for it. */
  restart(): void {
    this.#connection.start();
  }

  check(): void {
    this.#connection.check();
  }

  tokenRenewed(token: string): void {
    this.#connection.send({ type: "refresh_token", ref: TOKEN_REF, token });
  }

  /** Change the state by what REST showed. */
  update(change: (state: ClientState) => ClientState): void {
    this.#current = change(this.#current);
    this.#draw();
    this.#reportStale();
  }

  /** REST has shown the thread as it is: with these messages, and those of runs before `oldestRun` on earlier pages. */
  threadRead(threadId: string, messageIds: ReadonlySet<string>, oldestRun: number): void {
    const isShown = ({ messageId, acceptance }: outbox.OutgoingMessage): boolean =>
      messageIds.has(messageId) || (acceptance?.thread_id === threadId && acceptance.run_number < oldestRun);
    this.#setOutbox(outbox.settled(this.outbox.value, isShown));
    const rest = Object.entries(this.lostRuns.value).filter(([, run]) => run.thread_id !== threadId);
    if (rest.length < Object.keys(this.lostRuns.value).length) this.lostRuns.value = Object.fromEntries(rest);
  }

  /** Milliseconds by the server's clock, as far as its greeting told. */
  readonly serverNow = (): number => this.#parts.clock.now() + this.#serverAhead;

  enqueue(message: outbox.NewMessage): void {
    this.#setOutbox(outbox.enqueued(this.outbox.value, message));
    this.#flush();
  }

  retry(messageId: string, freshId: string): void {
    this.#setOutbox(outbox.retried(this.outbox.value, messageId, freshId));
    this.#flush();
  }

  discard(messageId: string): void {
    this.#setOutbox(outbox.discarded(this.outbox.value, messageId));
    this.#flush();
  }

  /** Send what a closed tab has left. */
  adopt(left: outbox.Outbox): void {
    this.#setOutbox(outbox.adopted(this.outbox.value, left, this.#parts.clock.now()));
    this.#flush();
  }

  /** Another tab sends what waits here. */
  letGo(): void {
    this.#setOutbox(this.outbox.value.filter((message) => message.state === "sent" || message.state === "accepted"));
  }

  /** Stop a run at the server; asked again after a reconnect, until the run has ended. */
  stopRun(runId: string): void {
    this.stopping.value = new Set([...this.stopping.value, runId]);
    this.#connection.send({ type: "stop_run", ref: `stop:${runId}`, run_id: runId });
  }

  /** Get the events of runs that REST named: of open ones, and of ended ones whose steps are wanted. */
  follow(runs: readonly RestRunName[]): void {
    const asked = runs.filter((run) => !this.unavailable.value.has(run.run_id));
    for (const run of asked) {
      this.#current = withRun(this.#current, run);
      if (!isOpen(run.status)) this.#wanted.add(run.run_id);
    }
    this.#draw();
    this.#askFor(asked.filter((run) => run.run_number <= this.#baseline || !isOpen(run.status)).map((run) => run.run_id));
  }

  #askFor(runIds: readonly string[]): void {
    const cursors: Record<string, number> = {};
    for (const id of runIds) {
      if (this.#current.runs[id]?.last_seq === 0 && !this.#named.has(id)) cursors[id] = 0;
    }
    if (Object.keys(cursors).length === 0 || !this.#connection.send({ type: "resume", cursors })) return;
    for (const id of Object.keys(cursors)) this.#named.add(id);
  }

  #receive(frame: Frame): string | null {
    const before = this.#current;
    try {
      this.#current = fold(before, frame);
    } catch (error) {
      if (!(error instanceof ProtocolViolation)) throw error;
      // Dial anew: the resume asks for what is missing.
      this.#connection.reset();
      return null;
    }
    this.#actOn(frame, before);
    if (this.#current !== before) this.#draw();
    this.#reportStale();
    return movedRun(before, this.#current, frame);
  }

  #reportStale(): void {
    const { stale } = this.#current;
    if (stale.list || stale.all || stale.threads.length > 0) this.#parts.events.stale(stale);
  }

  #actOn(frame: Frame, before: ClientState): void {
    switch (frame.type) {
      case "connection_established":
        this.#established(frame, before.lastRunNumber === null);
        break;
      case "resumed":
        this.#lost(before, frame.snapshot_required);
        this.#withoutEvents(before, frame.gone);
        break;
      case "snapshot_required":
        this.#lost(before, frame.run_ids);
        break;
      case "message_accepted":
        this.#accepted(frame);
        break;
      case "error_message":
        this.#refused(frame);
        break;
      case "run_stopped":
        this.#stopped(frame.run_id);
        break;
      case "approval_accepted":
        this.decisions.answered(frame.ref);
        break;
      case "approval_resolved":
        this.decisions.settled(frame.run_id, frame.data.tool_call_id);
        break;
      case "agent_completed":
      case "agent_error":
      case "agent_cancelled":
        this.#stopped(frame.run_id);
        this.decisions.settled(frame.run_id);
        break;
      case "thread_created":
      case "thread_updated":
      case "thread_deleted":
        if (frame.type === "thread_deleted" ? frame.thread.id in this.#current.deletedThreads : frame.threads_version > (before.threadsVersion ?? 0)) {
          this.#parts.events.noticed(frame);
        }
        break;
      case "token_expiring":
        this.#renewIn(frame.expires_in * 1000);
        break;
    }
  }

  /** The server tells of a token that lives shorter than a minute as soon as it has it: that is not renewed at once. */
  #renewIn(milliseconds: number): void {
    const renew = (): void => void this.#parts.token(true).catch(() => {});
    if (milliseconds > SHORT_NOTICE_MS) renew();
    else this.#parts.clock.after(milliseconds / 2, () => this.#connection.state.phase === "connected" && renew());
  }

  #established(frame: ConnectionEstablished, first: boolean): void {
    this.#baseline = frame.last_run_number;
    this.#serverAhead = (Date.parse(frame.server_time) || this.#parts.clock.now()) - this.#parts.clock.now();
    this.limits.value = frame.limits;
    this.#named.clear();
    const resume = resumeCommand(this.#current);
    if (resume?.type === "resume") {
      this.#connection.send(resume);
      for (const id of Object.keys(resume.cursors)) this.#named.add(id);
    }
    this.#askFor([...this.#wanted]);
    for (const run of this.stopping.value) this.stopRun(run);
    this.decisions.sendAgain();
    this.regenerations.connected();
    this.#flush();
    this.#parts.events.established(frame, first);
  }

  #lost(before: ClientState, runIds: readonly string[]): void {
    const known = runIds.flatMap((id): [string, RunState][] => (before.runs[id]?.question ? [[id, before.runs[id]]] : []));
    if (known.length > 0) this.lostRuns.value = { ...this.lostRuns.value, ...Object.fromEntries(known) };
    this.#withoutEvents(before, runIds);
  }

  /**
   * The server does not have the events that were asked for. Those of an ended run are pruned; an open run can be asked
   * for once more from its beginning, when the page was ahead of a server that lost its latest events.
   */
  #withoutEvents(before: ClientState, runIds: readonly string[]): void {
    for (const id of runIds) {
      this.#named.delete(id);
      this.#stopped(id);
      this.decisions.settled(id);
      const again = !this.#wanted.delete(id) && (before.runs[id]?.last_seq ?? 0) > 0;
      if (!again) this.unavailable.value = new Set([...this.unavailable.value, id]);
    }
  }

  #accepted(frame: MessageAccepted): void {
    this.allowance.value = frame.allowance ?? [];
    if (this.regenerations.answered(frame.ref)) return;
    const message = this.outbox.value.find((each) => each.messageId === frame.message_id);
    if (!message) return;
    this.#setOutbox(outbox.accepted(this.outbox.value, frame));
    this.#draw();
    this.#flush();
    this.#parts.events.accepted(message, frame);
  }

  /** An accepted message leaves the outbox when its run's first event is drawn. */
  #settleOutbox(): void {
    if (!this.outbox.value.some((message) => message.state === "accepted")) return;
    const shown = new Set(Object.values(this.state.value.runs).map((run) => run.question?.id));
    this.#setOutbox(outbox.settled(this.outbox.value, ({ messageId }) => shown.has(messageId)));
  }

  #refused(error: ErrorMessage): void {
    const { ref } = error;
    if (error.error_code === "ALLOWANCE_USED") this.allowance.value = [error.details as unknown as AllowanceUse];
    this.regenerations.answered(ref);
    const message = this.outbox.value.find((each) => each.messageId === ref);
    if (ref === undefined) {
      this.#parts.events.failed(error);
    } else if (ref.startsWith("stop:")) {
      this.#stopped(ref.slice("stop:".length));
      if (error.error_code !== "RUN_NOT_FOUND") this.#parts.events.failed(error);
    } else if (message) {
      this.#setOutbox(outbox.refused(this.outbox.value, ref, error));
      this.#flush();
      this.#parts.events.refused(message, error);
    } else if (ref !== TOKEN_REF && !this.decisions.refused(error)) {
      // A token that was not taken closes the connection when the one before expires, and the next dial brings it again.
      this.#parts.events.failed(error);
    }
  }

  #stopped(runId: string): void {
    if (!this.stopping.value.has(runId)) return;
    this.stopping.value = new Set([...this.stopping.value].filter((id) => id !== runId));
  }

  #connectionChanged(state: ConnectionState): void {
    const before = this.connection.value;
    this.connection.value = state;
    if (before.phase !== "connected" || state.phase === "connected") return;
    this.regenerations.disconnected();
    // The server software closes at a frame over its hard limit, and would at each repetition.
    const [sent] = this.outbox.value.filter((message) => message.state === "sent");
    const rest = state.code === 1009 && sent ? outbox.refused(this.outbox.value, sent.messageId, TOO_LARGE) : this.outbox.value;
    this.#setOutbox(outbox.disconnected(rest));
  }

  #flush(): void {
    for (let [message] = outbox.due(this.outbox.value); message; [message] = outbox.due(this.outbox.value)) {
      const command = outbox.command(message);
      if (outbox.frameBytes(message) > (this.limits.value?.max_message_bytes ?? Number.POSITIVE_INFINITY)) {
        this.#setOutbox(outbox.refused(this.outbox.value, message.messageId, TOO_LARGE));
      } else if (this.#connection.send(command)) {
        this.#setOutbox(outbox.sent(this.outbox.value, message.messageId));
      } else {
        return;
      }
    }
  }

  #setOutbox(next: outbox.Outbox): void {
    if (next === this.outbox.value) return;
    this.outbox.value = next;
    this.#parts.events.outboxChanged(next);
  }

  /** Frames can come faster than they can be drawn. */
  #draw(): void {
    if (this.#drawing) return;
    this.#drawing = true;
    this.#parts.nextFrame(() => {
      this.#drawing = false;
      batch(() => {
        this.state.value = this.#current;
        this.#settleOutbox();
      });
    });
  }
}
