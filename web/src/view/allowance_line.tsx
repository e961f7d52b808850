import type { VNode } from "preact";
import { useEffect } from "preact/hooks";
import type { Chat } from "../chat/chat";
import type { AllowanceUse } from "../protocol/frames";
import { format, words } from "../words/words";

/** What is nearly used up of what the person may use today. With the next day it goes. */
export function AllowanceLine({ chat }: { readonly chat: Chat }): VNode | null {
  const { allowance } = chat.delivery;
  const uses = allowance.value;
  const [first] = uses;
  useEffect(() => {
    if (first === undefined) return;
    const timer = setTimeout(() => (allowance.value = []), first.resets_in * 1000);
    return () => clearTimeout(timer);
  }, [first]);
  if (first === undefined) return null;
  return (
    <p class="allowance" role="status" data-testid="allowance">
      {uses.map(useWords).join(" ")} {words.allowance.anew(first.resets_in)}
    </p>
  );
}

function useWords({ limit, used, allowed }: AllowanceUse): string {
  const say = words.allowance;
  if (limit === "runs_per_day") return say.questions(used, allowed);
  return limit === "tokens_per_day" ? say.tokens(used, allowed) : say.cost(format.cost(used), format.cost(allowed));
}
