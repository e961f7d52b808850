// One lasting connection made of many sockets: dial, greet, heartbeat, acknowledge, and come back after a loss.
import type { Clock } from "./clock";
import { type Command, type ErrorMessage, type Frame, parseFrame } from "./frames";
import { LONGEST_WAIT_MS, Receipts } from "./receipts";
import { afterClose } from "./reconnecting";

export interface Wire {
  send(text: string): void;
  close(): void;
}

export interface WireEvents {
  received(text: string): void;
  closed(code: number): void;
}

export type Phase = "idle" | "authorising" | "greeting" | "connected" | "waiting" | "stopped";

export interface ConnectionState {
  readonly phase: Phase;
  /** Attempts since the last connection that was established. */
  readonly failures: number;
  /** Why the last socket was refused or closed, when the server said so. */
  readonly error: ErrorMessage | null;
  /** The close code of the last socket, while there is none. */
  readonly code: number | null;
}

export interface ConnectionParts {
  readonly clock: Clock;
  readonly random: () => number;
  /** An access token to dial with; `renew` asks for a new one. Null: nobody is signed in. Rejects when it cannot be known. */
  readonly token: (renew: boolean) => Promise<string | null>;
  readonly dial: (token: string, events: WireEvents) => Wire;
  /** Takes a frame in; the id of the run that it moved on, if it did. */
  readonly frame: (frame: Frame) => string | null;
  /** The last event that the page has of a run. */
  readonly position: (runId: string) => number | undefined;
  readonly state: (state: ConnectionState) => void;
}

const GREETING_MS = 10_000;
const ANSWER_MS = 10_000;
/** The person has come back and waits. */
const CHECK_MS = 4_000;
/** A connection that breaks sooner is no success: the waits go on growing. */
const LASTING_MS = 5_000;
const HEARTBEAT_MS = 25_000;
const ABNORMAL = 1006;

export class Connection {
  #parts: ConnectionParts;
  #state: ConnectionState = { phase: "idle", failures: 0, error: null, code: null };
  #wire: Wire | null = null;
  /** Counts sockets: what an earlier one still reports is not heard. */
  #dials = 0;
  #receipts = new Receipts();
  #drainMs: number | null = null;
  #heartbeatMs = HEARTBEAT_MS;
  /** When the socket was dialled, and when it was greeted. */
  #since = 0;
  /** Failures before the connection that is open now, while it has not lasted. */
  #failuresBefore = 0;
  /** When the oldest ping without an answer is given up. */
  #answerBy = 0;
  #timers = new Map<"retry" | "greeting" | "heartbeat" | "answer" | "ack", () => void>();

  constructor(parts: ConnectionParts) {
    this.#parts = parts;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  start(): void {
    if (this.#state.phase === "idle" || this.#state.phase === "stopped") this.#dial(false);
  }

  stop(): void {
    this.#abandon();
    this.#enter("idle", { failures: 0, error: null, code: null });
  }

  /** Send now, or report that there is no connection: what must arrive is sent again after the next greeting. */
  send(command: Command): boolean {
    if (this.#state.phase !== "connected" || !this.#wire) return false;
    this.#wire.send(JSON.stringify(command));
    return true;
  }

  /** The page was woken, or the network came back: dial at once, or ask the open socket whether it still lives. */
  check(): void {
    const { phase } = this.#state;
    const isSlow = phase === "greeting" && this.#parts.clock.now() - this.#since > CHECK_MS;
    if (phase === "waiting" || isSlow) this.#dial(false);
    else if (phase === "connected") this.#probe(CHECK_MS);
  }

  /** What the server sent cannot be continued: begin a new connection. */
  reset(): void {
    this.#lost(ABNORMAL);
  }

  #enter(phase: Phase, change: Partial<ConnectionState> = {}): void {
    this.#state = { ...this.#state, ...change, phase };
    this.#parts.state(this.#state);
  }

  #arm(name: "retry" | "greeting" | "heartbeat" | "answer" | "ack", milliseconds: number, act: () => void): void {
    this.#timers.get(name)?.();
    this.#timers.set(
      name,
      this.#parts.clock.after(milliseconds, () => {
        this.#timers.delete(name);
        act();
      }),
    );
  }

  #disarm(name: "greeting" | "answer" | "ack"): void {
    this.#timers.get(name)?.();
    this.#timers.delete(name);
  }

  /** Forget the socket; nothing that it reports later is heard. */
  #abandon(): void {
    this.#dials += 1;
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
    const wire = this.#wire;
    this.#wire = null;
    wire?.close();
  }

  #dial(renew: boolean): void {
    this.#abandon();
    const dial = this.#dials;
    this.#enter("authorising");
    this.#parts.token(renew).then(
      (token) => {
        if (dial !== this.#dials) return;
        if (token === null) this.stop();
        else this.#open(token, dial);
      },
      () => {
        if (dial === this.#dials) this.#lost(ABNORMAL);
      },
    );
  }

  #open(token: string, dial: number): void {
    this.#receipts = new Receipts();
    this.#drainMs = null;
    this.#since = this.#parts.clock.now();
    this.#enter("greeting");
    this.#arm("greeting", GREETING_MS, () => this.#lost(ABNORMAL));
    this.#wire = this.#parts.dial(token, {
      received: (text) => {
        if (dial === this.#dials) this.#receive(text);
      },
      closed: (code) => {
        if (dial === this.#dials) this.#lost(code);
      },
    });
  }

  #receive(text: string): void {
    const frame = parseFrame(text);
    const now = this.#parts.clock.now();
    this.#disarm("answer");
    const moved = frame ? this.#read(frame) : null;
    const ackDue = this.#receipts.note(now, moved);
    if (this.#state.phase !== "connected") return;
    if (ackDue) this.#acknowledge();
    else if (!this.#timers.has("ack")) this.#arm("ack", LONGEST_WAIT_MS, () => this.#acknowledge());
  }

  #read(frame: Frame): string | null {
    if (frame.type === "connection_established") {
      this.#disarm("greeting");
      this.#heartbeatMs = frame.heartbeat.interval_seconds * 1000;
      this.#since = this.#parts.clock.now();
      this.#failuresBefore = this.#state.failures;
      this.#enter("connected", { failures: 0, error: null, code: null });
      this.#arm("heartbeat", this.#heartbeatMs, () => this.#heartbeat());
    } else if (frame.type === "error_message" && frame.ref === undefined) {
      this.#state = { ...this.#state, error: frame };
    } else if (frame.type === "server_draining") {
      this.#drainMs = frame.reconnect_after_ms;
    }
    return this.#parts.frame(frame);
  }

  #acknowledge(): void {
    this.#disarm("ack");
    const ack = this.#receipts.take(this.#parts.position);
    if (ack) this.send(ack);
  }

  #heartbeat(): void {
    this.#probe(ANSWER_MS);
    this.#arm("heartbeat", this.#heartbeatMs, () => this.#heartbeat());
  }

  /**
   * A half-open socket reports nothing. The deadline runs from the ping, not from the last frame: a sleeping tab's
   * timers come late, and a late timer alone is no sign of a lost connection.
   */
  #probe(patience: number): void {
    this.send({ type: "ping" });
    const by = this.#parts.clock.now() + patience;
    if (this.#timers.has("answer") && this.#answerBy <= by) return;
    this.#answerBy = by;
    this.#arm("answer", patience, () => this.#lost(ABNORMAL));
  }

  #lost(code: number): void {
    const isBrief = this.#state.phase === "connected" && this.#parts.clock.now() - this.#since < LASTING_MS;
    const failures = isBrief ? this.#failuresBefore : this.#state.failures;
    const error = code >= 4000 ? this.#state.error : null;
    const next = afterClose({ code, failures, error, drainMs: this.#drainMs }, this.#parts.random);
    this.#abandon();
    this.#enter(next.act === "stop" ? "stopped" : "waiting", { failures: failures + 1, error, code });
    if (next.act === "stop") return;
    this.#arm("retry", next.delay, () => this.#dial(next.act === "renew"));
  }
}
