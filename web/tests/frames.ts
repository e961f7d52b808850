// Frames as a server sends them, with the values that a test leaves out.
import type { ConnectionEstablished, RunEvent, RunEventData, RunEventType } from "../src/protocol/frames";

export function established(given: Partial<ConnectionEstablished> = {}): ConnectionEstablished {
  return {
    type: "connection_established",
    connection_id: "connection",
    user: { id: "1", username: "ada" },
    server_time: "2026-11-23T19:00:00.000Z",
    services: {},
    agents: ["assistant"],
    last_run_number: 0,
    threads_version: 0,
    open_runs: [],
    token: { expires_in: 540 },
    heartbeat: { interval_seconds: 25 },
    limits: { max_message_bytes: 65536 },
    ...given,
  };
}

export function event<Type extends RunEventType>(
  seq: number,
  type: Type,
  data: RunEventData[Type],
  given: Partial<RunEvent> = {},
): RunEvent {
  const envelope = { thread_id: "thread", run_id: "run", run_number: 1, timestamp: "2026-11-23T19:00:00.000Z", agent: "assistant" };
  return { ...envelope, type, seq, data, ...given } as RunEvent;
}
