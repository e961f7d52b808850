// The other end of the sockets that a connection dials.
import type { Wire, WireEvents } from "../src/protocol/connection";
import type { Command, ConnectionEstablished, Frame } from "../src/protocol/frames";
import { established } from "./frames";

export class FakeSocket implements Wire {
  readonly token: string;
  readonly sent: Command[] = [];
  closedByPage = false;
  #events: WireEvents;

  constructor(token: string, events: WireEvents) {
    this.token = token;
    this.#events = events;
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text) as Command);
  }

  close(): void {
    this.closedByPage = true;
  }

  deliver(...frames: Frame[]): void {
    for (const frame of frames) this.#events.received(JSON.stringify(frame));
  }

  deliverText(text: string): void {
    this.#events.received(text);
  }

  drop(code: number): void {
    this.#events.closed(code);
  }

  ofType<Type extends Command["type"]>(type: Type): Extract<Command, { type: Type }>[] {
    return this.sent.filter((command): command is Extract<Command, { type: Type }> => command.type === type);
  }
}

export class FakeServer {
  readonly sockets: FakeSocket[] = [];

  readonly dial = (token: string, events: WireEvents): Wire => {
    const socket = new FakeSocket(token, events);
    this.sockets.push(socket);
    return socket;
  };

  get latest(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (!socket) throw new Error("Nobody has dialled");
    return socket;
  }

  greet(given: Partial<ConnectionEstablished> = {}): FakeSocket {
    this.latest.deliver(established(given));
    return this.latest;
  }
}
