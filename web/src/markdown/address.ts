// Where a link leads, and whether its text says otherwise.

const SCHEME = /^(?:https?|mailto):/i;
/** A host, as people read it: after a scheme or `www.`, before a path, or with an ending that names of files do not have. */
const HOST = /(?:https?:\/\/|www\.)([^\s/?#"'<>()]+)|(?:^|\s)((?:[\p{L}\p{N}-]+\.)+\p{L}{2,})(?=\/|:\d)|^\s*((?:[\p{L}\p{N}-]+\.)+(?:com|org|net|edu|gov|info|biz|app|bank|eu|de|uk|fr|it|es|nl|ch|at|us|ca|au|jp|cn|br|ru))\s*$/iu;
/** What a browser would leave out or read as something else, and what is not seen or turns the direction of writing. */
const UNSEEN = /[\s\p{C}\p{Z}]/u;

/** The address as the browser reads it; null for one that is no link here. */
export function addressOf(href: string): URL | null {
  if (!SCHEME.test(href) || UNSEEN.test(href)) return null;
  try {
    return new URL(href);
  } catch {
    return null;
  }
}

/** Whom the link leads to. */
export function hostOf({ protocol, host, pathname }: URL): string {
  return protocol === "mailto:" ? pathname : host;
}

const HIDING = /[\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069]/;

/** Whether the text of a link names a host, and another than the one that it leads to; or may do so to the eye. */
export function misleads(text: string, address: URL): boolean {
  if (HIDING.test(text)) return true;
  const named = HOST.exec(text);
  const host = named?.[1] ?? named?.[2] ?? named?.[3];
  if (host === undefined) return false;
  const bare = (name: string): string => name.toLowerCase().replace(/^www\./, "");
  return bare(host) !== bare(address.host);
}
