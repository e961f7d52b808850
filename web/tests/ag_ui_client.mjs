// The unmodified client of AG-UI, driven from outside: a command on each line of its input, a report on each line of its
// output.
//
//   {"do": "agent", "url", "token", "threadId", "messages"?}   a client with a conversation
//   {"do": "replies", "streams": [text]}                       answers its next requests with these streams
//   {"do": "ask", "content", "id"?}                            adds a message
//   {"do": "run", "resume"?, "tools"?, "context"?, "state"?}   runs the agent: {"event"} for each event, then {"done"}
//   {"do": "abort"}                                            aborts the run
import { createInterface } from "node:readline";
import { HttpAgent } from "@ag-ui/client";

const warnings = [];
console.warn = (...words) => warnings.push(words.map(String).join(" "));
console.error = () => {};

const report = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
let agent;
let running = Promise.resolve();

function begin({ url, token, threadId, messages }) {
  agent = new HttpAgent({ url, threadId, initialMessages: messages, headers: { Authorization: `Bearer ${token}` } });
}

function replyWith({ streams }) {
  const left = [...streams];
  agent.fetch = async () => new Response(left.shift(), { headers: { "content-type": "text/event-stream" } });
}

async function run({ resume, tools, context, state }) {
  if (state !== undefined) agent.state = state;
  const done = { failed: null, error: null, outcome: null, result: null };
  const subscriber = {
    onEvent: ({ event }) => report({ event }),
    onRunErrorEvent: ({ event }) => { done.error = { code: event.code, message: event.message }; },
    onRunFinishedEvent: ({ outcome }) => { done.outcome = outcome; },
  };
  try {
    done.result = (await agent.runAgent({ resume, tools, context }, subscriber)).result ?? null;
  } catch (error) {
    done.failed = { message: String(error.message), status: error.status ?? null, payload: error.payload ?? null };
  }
  const { messages, pendingInterrupts } = agent;
  report({ done: { ...done, messages, pendingInterrupts, warnings: warnings.splice(0) } });
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  switch (command.do) {
    case "agent":
      begin(command);
      break;
    case "replies":
      replyWith(command);
      break;
    case "ask":
      agent.addMessage({ id: command.id ?? crypto.randomUUID(), role: "user", content: command.content });
      break;
    case "run":
      running = running.then(() => run(command));
      break;
    case "abort":
      agent.abortRun();
      break;
    default:
      throw new Error(`an unknown command: ${line}`);
  }
}
await running;
