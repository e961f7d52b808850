import type { VNode } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { Chat } from "../chat/chat";
import type { ThreadUsage } from "../chat/thread_usage";
import { RestError } from "../session/rest";
import { format, words } from "../words/words";
import { Icon } from "./icons";
import { Figures } from "./small_print";
import { threadFigures } from "./step_words";
import { errorSentence, modelWords } from "./wording";

/** What the conversation took so far, in all its branches, as the server has it. */
export function ThreadUsageButton({ chat, threadId }: { readonly chat: Chat; readonly threadId: string }): VNode {
  const [open, setOpen] = useState(false);
  const place = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const panel = useId();
  useEffect(() => {
    if (!open) return;
    const pressed = (event: PointerEvent): void => {
      if (!place.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", pressed);
    return () => document.removeEventListener("pointerdown", pressed);
  }, [open]);
  return (
    <div
      class="thread-usage"
      ref={place}
      onKeyDown={(event) => {
        if (event.key !== "Escape" || !open) return;
        event.preventDefault();
        event.stopPropagation();
        setOpen(false);
        button.current?.focus();
      }}
    >
      <button
        type="button"
        ref={button}
        class="round"
        data-testid="thread-usage"
        aria-label={words.usage.ofThread}
        title={words.usage.ofThread}
        aria-expanded={open}
        aria-controls={panel}
        onClick={() => setOpen(!open)}
      >
        <Icon name="meter" />
      </button>
      <section class="usage-panel" id={panel} aria-label={words.usage.ofThread} hidden={!open}>
        {open ? <Panel chat={chat} threadId={threadId} /> : null}
      </section>
    </div>
  );
}

type Read = { readonly usage: ThreadUsage } | { readonly error: RestError } | null;

function Panel({ chat, threadId }: { readonly chat: Chat; readonly threadId: string }): VNode {
  const [read, setRead] = useState<Read>(null);
  // What a run took is known when it has ended.
  const going = chat.conversation.value.openRunIds.value.join();
  useEffect(() => {
    let wanted = true;
    chat.threadUsage(threadId).then(
      (usage) => wanted && setRead({ usage }),
      (error: unknown) => wanted && error instanceof RestError && setRead({ error }),
    );
    return () => {
      wanted = false;
    };
  }, [threadId, going]);
  if (read === null) return <p>{words.app.loading}</p>;
  if ("error" in read) return <p role="status">{errorSentence(read.error.code, read.error.message)}</p>;
  const { total, models } = read.usage;
  return (
    <div data-testid="thread-figures" data-tokens={total.input_tokens + total.output_tokens} data-cost={total.cost_usd}>
      <Figures figures={threadFigures(total)} />
      {models.length < 2 ? null : (
        <ul class="usage-models">
          {models.map(({ model, sums }) => (
            <li key={model}>
              <span>{modelWords(model)}</span>
              <span>{words.usage.tokens(sums.input_tokens + sums.output_tokens)}</span>
              <span>{format.exactCost(Number(sums.cost_usd))}</span>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
