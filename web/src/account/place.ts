// Where somebody is who is not signed in. The sign-in has no address of its own: it stands before whatever was wanted.
export type EntrancePlace = "sign-in" | "register" | "forgot" | "reset";

/** What the link of a mail has. It is a secret: whoever has it can choose a new password. */
export interface ResetLink {
  readonly uid: string;
  readonly token: string;
}

const LINK = /^\/reset\/([^/]+)\/([^/]+)\/?$/;

export function linkInAddress(path: string): ResetLink | null {
  const [, uid, token] = LINK.exec(path) ?? [];
  return uid !== undefined && token !== undefined ? { uid, token } : null;
}

export function entranceInAddress(path: string): EntrancePlace {
  const [, first] = path.split("/");
  return first === "register" || first === "forgot" || first === "reset" ? first : "sign-in";
}

/** Whether the link is for this person: it names a user's key, in base64url. */
export function isFor({ uid }: ResetLink, id: string | number): boolean {
  try {
    return atob(uid.replace(/-/g, "+").replace(/_/g, "/")) === String(id);
  } catch {
    return false;
  }
}
