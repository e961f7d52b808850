// What the page says, in English. Plain strings, and functions of what varies in them. A further language is a file
// like this one, whose type it has, and a line in words.ts.
import type { Formats } from "./formats";

/** A sentence with something else than text in it, such as a name in bold. */
export type Phrase<Part> = readonly (string | Part)[];

export function en({ number, plural, exactCost, bytes, countdown }: Formats) {
  const counted = (count: number, one: string, other: string): string => `${number(count)} ${plural(count, { one, other })}`;
  const were = (count: number): string => plural(count, { one: "was", other: "were" });
  return {
    app: {
      name: "Netra",
      title: (place: string) => `${place} – Netra`,
      loading: "Loading…",
      unreachable: "The server cannot be reached. Trying again…",
      untitled: "New conversation",
      tryAgain: "Try again",
      dismiss: "Dismiss",
      cancel: "Cancel",
    },
    signIn: {
      username: "User name",
      password: "Password",
      submit: "Sign in",
      submitting: "Signing in…",
    },
    sidebar: {
      label: "Conversations",
      open: "Open the list",
      close: "Close the list",
      newChat: "New chat",
      threads: "Threads",
      more: "Show more",
      none: "No conversations yet",
      signOut: "Sign out",
      busy: "An answer is being written",
      waiting: "It waits for your approval",
    },
    conversation: {
      hello: (name: string) => `Hello, ${name}`,
      invitation: "What would you like to know?",
      earlier: "Earlier messages",
      toEnd: "Go to the latest message",
      complete: "The answer is complete",
      failed: "The answer failed",
    },
    composer: {
      label: "Message",
      placeholder: "Write a message",
      send: "Send",
      stop: "Stop",
      agent: (name: string) => `Agent: ${name}`,
      agents: "Agents",
    },
    connection: {
      connected: "Connected",
      connecting: "Connecting…",
      reconnecting: "Reconnecting…",
      offline: "You are offline.",
      restarting: "The server is restarting…",
      refused: "The server refused the connection.",
      tryingAgain: (reason: string) => `${reason} Trying again…`,
      tryNow: "Try now",
    },
    question: {
      label: "You",
      notSent: "Not sent yet",
      takeBack: "Take back",
      edit: "Edit",
    },
    answer: {
      label: "Answer",
      again: "Ask again",
      stopped: "Stopped",
      interrupted: "Interrupted by the next message",
      reference: (id: string) => `Reference: ${id}`,
    },
    activity: {
      workerLost: "The worker was lost. Starting again…",
      continuing: "Continuing soon…",
      starting: "Waiting to start…",
      approval: "Waiting for your approval…",
      before: "Waiting for the answer before…",
      stopping: "Stopping…",
      thinking: "Thinking…",
      writing: "Writing…",
      using: (tool: string) => `Using ${tool}…`,
      asking: (agent: string) => `Asking ${agent}…`,
    },
    steps: {
      label: "Steps",
      of: (agent: string) => `Steps of ${agent}`,
      gone: "The steps are no longer kept.",
      thinking: "Thinking",
      thought: "Thought",
      interrupted: "cut short",
      waiting: "waits for you",
      arguments: "Arguments",
      result: "Result",
      error: "Error",
      reason: "Reason",
      resultGone: "The result could not be loaded, or is no longer kept.",
      showAll: (size: number) => `Show all (${bytes(size)})`,
      showFirst: (kept: number, size: number) => `Show the first ${bytes(kept)} of ${bytes(size)}`,
      contextSizes: (estimated: number, limit: number) => `About ${number(estimated)} tokens; the model takes ${number(limit)}`,
      contextReduced: (dropped: number, shortened: number) => {
        const left = dropped > 0 ? `${counted(dropped, "earlier message", "earlier messages")} ${were(dropped)} left out` : "";
        const cut = shortened > 0 ? `${counted(shortened, "tool result", "tool results")} ${were(shortened)} shortened` : "";
        const what = [left, cut].filter((part) => part !== "").join(" and ") || "earlier messages were summed up";
        return `To fit the model's context, ${what}`;
      },
    },
    approval: {
      request: <Part>(agent: Part, tool: Part): Phrase<Part> => [agent, " wants to use ", tool],
      waits: (agent: string, tool: string) => `${agent} wants to use ${tool} and waits for your approval`,
      empty: "(empty)",
      noArguments: "It takes no arguments.",
      restLoading: "This is the beginning. The rest is being loaded…",
      restFailed: "This is the beginning. The rest could not be loaded.",
      approve: "Approve",
      deny: "Deny",
      denyWithReason: "Deny with a reason…",
      whyNot: "Why not? The agent is told.",
      back: "Back",
      approving: "Approving…",
      denying: "Denying…",
      sentLater: "It is sent when the connection is back.",
      approved: "approved",
      denied: "denied",
      cancelled: "cancelled",
      expired: "not answered in time",
      timeIsUp: "The time is up",
      secondsLeft: (seconds: number) => `${counted(seconds, "second", "seconds")} left`,
      clockLeft: (seconds: number) => `${countdown(seconds)} left`,
      minutesLeft: (minutes: number) => `${counted(minutes, "minute", "minutes")} left`,
      hoursLeft: (hours: number) => `${counted(hours, "hour", "hours")} left`,
    },
    usage: {
      tokens: (count: number) => counted(count, "token", "tokens"),
      /** `cost`: dollars; null where the price is not known. */
      exact: (model: string, requests: number, read: number, written: number, cost: number | null) => {
        const tokens = `${counted(read, "token", "tokens")} read, ${counted(written, "token", "tokens")} written`;
        const price = cost === null ? "" : cost === 0 ? ", free of charge" : `, ${exactCost(cost)}`;
        return `${model}: ${counted(requests, "request", "requests")}, ${tokens}${price}`;
      },
    },
    /** Models whose name alone would promise too much. */
    models: {
      offline: "offline: fixed rules, no language model",
      local: "local: SmolLM2-135M, small and often wrong",
    },
    /** A sentence for each code. */
    errors: {
      UNREACHABLE: "The server cannot be reached.",
      INVALID_CREDENTIALS: "The user name or the password is not right.",
      USER_INACTIVE: "This account has been deactivated.",
      ORIGIN_NOT_ALLOWED: "The server does not accept connections from this address.",
      TOO_MANY_CONNECTIONS: "Too many tabs or devices are connected. Close one of them.",
      SERVICE_UNAVAILABLE: "The server is not ready at the moment.",
      WINDOW_FULL: "The connection could not keep up.",
      RATE_LIMITED: "You are sending messages faster than the server allows.",
      TOO_MANY_RUNS: "Too many answers are being written at once. Wait for one to finish, or stop one.",
      MESSAGE_TOO_LARGE: "The message is too long.",
      RUN_ACTIVE: "An answer is still being written here.",
      THREAD_NOT_FOUND: "This conversation does not exist any more.",
      THREAD_DELETED: "The conversation was deleted.",
      AGENT_NOT_FOUND: "The server does not know this agent.",
      MODEL_ERROR: "The language model failed.",
      RUN_TIMEOUT: "The answer took too long and was ended.",
      WORKER_LOST: "The program that wrote the answer was lost, and it could not be begun again.",
      APPROVAL_EXPIRED: "Nobody approved the step in time.",
      APPROVAL_NOT_FOUND: "Nothing waits for this approval any more.",
      INTERNAL_ERROR: "Something went wrong on the server.",
    },
    error: {
      code: (code: string) => `The server answered ${code}.`,
      wait: (seconds: number) => `Try again in ${counted(seconds, "second", "seconds")}.`,
    },
  };
}
