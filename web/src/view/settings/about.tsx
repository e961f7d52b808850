import type { VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import { loadMcpServers, type McpServer } from "../../settings/rest";
import { settingsWords } from "../../words/settings_words";
import { words } from "../../words/words";
import { Mark } from "../icons";
import type { SectionProps } from "./page";
import { Setting } from "./parts";

/** Of the program that this page belongs to: the build writes it here. */
declare const VERSION: string;

export function About({ chat }: SectionProps): VNode {
  const [servers, setServers] = useState<readonly McpServer[]>([]);
  useEffect(() => {
    // Without an answer nothing is said of them.
    loadMcpServers(chat.fetch).then(setServers, () => {});
  }, [chat]);
  return (
    <>
      <p class="about-name">
        <Mark />
        <span>
          <strong>{words.app.name}</strong> <span data-testid="version">{VERSION}</span>
        </span>
      </p>
      <Setting title={settingsWords.agents}>
        <dl class="facts">
          {chat.agents.offered.value.map(({ name, described }) => (
            <div key={name} data-testid="about-agent">
              <dt>{name}</dt>
              <dd>
                {described?.description ?? ""}
                {described ? <span class="about-model">{described.model}</span> : null}
              </dd>
            </div>
          ))}
        </dl>
      </Setting>
      {servers.length === 0 ? null : (
        <Setting title={settingsWords.mcpServers}>
          <dl class="facts">
            {servers.map(({ name, state, tools }) => (
              <div key={name} data-testid="about-mcp">
                <dt>{name}</dt>
                <dd>{settingsWords.mcpServer(stateWords(state), tools.length)}</dd>
              </div>
            ))}
          </dl>
        </Setting>
      )}
      <Setting title={settingsWords.programs} about={settingsWords.programsAbout}>
        <ul class="links">
          {[
            { href: "/api/docs", name: settingsWords.apiPage },
            { href: "/api/openapi.json", name: settingsWords.openApi },
            { href: "/api/asyncapi.json", name: settingsWords.asyncApi },
          ].map(({ href, name }) => (
            <li key={href}>
              <a href={href} target="_blank" rel="noopener">
                {name}
              </a>
            </li>
          ))}
        </ul>
      </Setting>
    </>
  );
}

function stateWords(state: string): string {
  const say = settingsWords.mcpStates;
  return Object.hasOwn(say, state) ? say[state as keyof typeof say] : state;
}
