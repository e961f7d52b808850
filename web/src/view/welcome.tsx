// A conversation that has not begun: who is asked, and what that agent answers well.
import type { VNode } from "preact";
import type { Chat } from "../chat/chat";
import { words } from "../words/words";
import { Mark } from "./icons";

export function Welcome({ chat }: { readonly chat: Chat }): VNode {
  const described = chat.agents.offered.value.find((agent) => agent.name === chat.writing.agent.value)?.described;
  return (
    <div class="welcome">
      <Mark />
      <h2>{words.conversation.hello(chat.me.username)}</h2>
      <p>{words.conversation.invitation}</p>
      {described && described.examples.length > 0 ? (
        <ul class="examples" aria-label={words.conversation.examples}>
          {described.examples.map((example) => (
            <li key={example}>
              <button type="button" data-testid="example" onClick={() => chat.writing.send(example)}>
                {example}
              </button>
            </li>
          ))}
        </ul>
      ) : null}
    </div>
  );
}
