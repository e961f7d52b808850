import type { VNode } from "preact";
import type { Chat } from "../chat/chat";
import type { AnswerView } from "../chat/turns";
import { words } from "../words/words";
import { Elapsed } from "./elapsed";
import { Spinner } from "./icons";
import { isWriting, silentSince } from "./step_words";
import { activity } from "./wording";

interface ActivityProps {
  readonly chat: Chat;
  readonly runId: string;
  readonly view: AnswerView;
}

/** What an open answer is doing, in a line of a height of its own: the small print takes its place. */
export function Activity({ chat, runId, view }: ActivityProps): VNode | null {
  const stopping = chat.delivery.stopping.value.has(runId);
  const [current] = chat.conversation.value.openRunIds.value;
  const waits = view.status === "queued" && current !== undefined && current !== runId;
  // What is waited for stands in the card above.
  if (!stopping && Object.values(view.approvals).some((approval) => approval.approved === null)) return null;
  const since = stopping ? null : silentSince(view);
  return (
    <p class="activity" data-testid="activity">
      <Spinner />
      {stopping ? words.activity.stopping : waits ? words.activity.before : activity(view, isWriting(view))}
      {since ? <Elapsed key={since} since={since} now={chat.delivery.serverNow} /> : null}
      {waits && !stopping ? (
        <button type="button" class="link" onClick={() => chat.delivery.stopRun(runId)}>
          {words.app.cancel}
        </button>
      ) : null}
    </p>
  );
}
