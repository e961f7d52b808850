// The open thread is in the page's address: `/` is a new conversation, `/t/<id>` a thread.
const THREAD = /^\/t\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\/?$/i;

export function threadInAddress(path: string): string | null {
  return THREAD.exec(path)?.[1]?.toLowerCase() ?? null;
}

export function addressOf(threadId: string | null): string {
  return threadId === null ? "/" : `/t/${threadId}`;
}
