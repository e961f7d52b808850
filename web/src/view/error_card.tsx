import { type ComponentChildren, createContext, type VNode } from "preact";
import { useContext, useEffect, useMemo, useState } from "preact/hooks";
import { words } from "../words/words";
import { Icon } from "./icons";
import { errorAdvice, errorDetail, errorSentence, waitSentence } from "./wording";

interface ErrorCardProps {
  readonly code: string;
  readonly message: string;
  readonly retryAfter?: number | null | undefined;
  readonly correlationId?: string | null;
  readonly children?: ComponentChildren;
}

const TICK_MS = 250;
const Waiting = createContext(false);

/** What happened in a sentence, and what can be done about it: in words, and as buttons. */
export function ErrorCard({ code, message, retryAfter, correlationId, children }: ErrorCardProps): VNode {
  const detail = errorDetail(code, message);
  const left = useSecondsLeft(retryAfter ?? 0);
  const waits = Boolean(retryAfter);
  const over = waits && left === 0;
  return (
    <div class="error-card" role="alert" data-testid="error" data-code={code}>
      <Icon name="alert" />
      <div class="error-text">
        <p>
          {errorSentence(code, message)} {errorAdvice(code)}
        </p>
        {waits ? (
          <p data-testid="wait" aria-hidden={!over}>
            {over ? words.error.waited : waitSentence(left)}
          </p>
        ) : null}
        {detail ? <p class="error-detail">{detail}</p> : null}
        {correlationId ? <p class="error-detail">{words.answer.reference(correlationId)}</p> : null}
        {children ? (
          <p class="error-actions">
            <Waiting.Provider value={waits && !over}>{children}</Waiting.Provider>
          </p>
        ) : null}
      </div>
    </div>
  );
}

/** Whole seconds that are left of a wait. It goes by the clock: a tab that slept has waited. */
function useSecondsLeft(wait: number): number {
  const until = useMemo(() => Date.now() + wait * 1000, [wait]);
  const [now, setNow] = useState(Date.now);
  const left = Math.max(0, Math.ceil((until - now) / 1000));
  useEffect(() => {
    if (left === 0) return;
    const timer = setInterval(() => setNow(Date.now()), TICK_MS);
    return () => clearInterval(timer);
  }, [left === 0]);
  return left;
}

/** The button of an error card that tries again: while the server wants to be left alone, it waits. */
export function TryAgain({ act, children = words.app.tryAgain }: { readonly act: () => void; readonly children?: ComponentChildren }): VNode {
  const waits = useContext(Waiting);
  return (
    <button type="button" data-testid="retry" disabled={waits} onClick={act}>
      {children}
    </button>
  );
}
