// What somebody can ask who is not signed in, beside a session.
import { request } from "../session/rest";
import type { ResetLink } from "./place";

export interface AccountOptions {
  readonly registration: boolean;
  readonly password_reset: boolean;
  readonly password_rules: readonly string[];
  readonly password_sign_in: boolean;
  /** Who signs people in elsewhere: a proxy before the server, or a page that has exchanged a token. */
  readonly exchange: "token" | "proxy" | null;
  readonly sign_in_url: string | null;
}

export async function loadOptions(): Promise<AccountOptions> {
  return (await request({ method: "GET", path: "/api/auth/options" })) as AccountOptions;
}

/** The answer is the same whether there is somebody of this address or not. */
export async function askForReset(email: string): Promise<void> {
  await request({ method: "POST", path: "/api/auth/password/reset", body: { email } });
}

export async function resetPassword(link: ResetLink, password: string): Promise<void> {
  await request({ method: "POST", path: "/api/auth/password/reset/confirm", body: { ...link, password } });
}
