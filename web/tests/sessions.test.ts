import assert from "node:assert/strict";
import { test } from "node:test";
import { RestError, type RestRequest } from "../src/session/rest";
import type { Session } from "../src/settings/rest";
import { agentName, Sessions } from "../src/settings/sessions";

const WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)";
const MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)";
const IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)";
const AGENTS: readonly (readonly [string, string, string | null])[] = [
  ["Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox", "Linux"],
  [`${WINDOWS} Chrome/140.0.0.0 Safari/537.36`, "Chrome", "Windows"],
  [`${WINDOWS} Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0`, "Edge", "Windows"],
  [`${WINDOWS} Chrome/140.0.0.0 Safari/537.36 OPR/120.0.0.0`, "Opera", "Windows"],
  ["Mozilla/5.0 (Linux; Android 15; SM-S9) AppleWebKit/537.36 SamsungBrowser/28.0 Chrome/130.0 Mobile Safari/537.36", "Samsung", "Android"],
  [`${MAC} Version/18.0 Safari/605.1.15`, "Safari", "macOS"],
  [`${IPHONE} Version/18.0 Mobile/15E148 Safari/604.1`, "Safari", "iPhone"],
  [`${IPHONE} CriOS/140.0 Mobile/15E148 Safari/604.1`, "Chrome", "iPhone"],
  ["curl/8.5.0", "curl", null],
  ["python-httpx/0.28.1", "python-httpx", null],
  ["Firefox on a toaster", "Firefox", null],
  ["Mozilla/5.0", "Mozilla", null],
  ["", "", null],
  ["x".repeat(200), "x".repeat(40), null],
];

test("browsers and programs are called by a name that people know", () => {
  for (const [agent, name, system] of AGENTS) assert.deepEqual(agentName(agent), { name, system }, agent);
});

const session = (id: string): Session => ({ id, kind: "cookie", agent: "", network: "", created_at: "", last_used_at: "", current: false });

test("what is ended is gone from the list, also when somebody else was faster, and what fails stays", async () => {
  const answers = new Map<string, string>([["b", "SESSION_NOT_FOUND"], ["c", "UNREACHABLE"]]);
  const asked: string[] = [];
  const fetch = async ({ method, path }: Omit<RestRequest, "token">): Promise<unknown> => {
    asked.push(`${method} ${path}`);
    if (method === "GET") return { sessions: ["a", "b", "c"].map(session), next: null };
    const code = answers.get(path.split("/").at(-1) ?? "");
    if (code !== undefined) throw new RestError(code, "", 0);
    return undefined;
  };
  const sessions = new Sessions(fetch);
  await sessions.more();
  const [a, b, c] = sessions.rows.value as [Session, Session, Session];
  await sessions.end(a);
  await sessions.end(b);
  await assert.rejects(sessions.end(c), { code: "UNREACHABLE" });
  assert.deepEqual(sessions.rows.value, [c]);
  assert.deepEqual(asked.slice(0, 2), ["GET /api/me/sessions?limit=20", "DELETE /api/me/sessions/a"]);
});
