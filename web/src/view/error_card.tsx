import type { ComponentChildren, VNode } from "preact";
import { words } from "../words/words";
import { Icon } from "./icons";
import { errorDetail, errorSentence, waitSentence } from "./wording";

interface ErrorCardProps {
  readonly code: string;
  readonly message: string;
  readonly retryAfter?: number | null | undefined;
  readonly correlationId?: string | null;
  readonly children?: ComponentChildren;
}

/** What happened in a sentence, and what can be done about it as buttons. */
export function ErrorCard({ code, message, retryAfter, correlationId, children }: ErrorCardProps): VNode {
  const detail = errorDetail(code, message);
  return (
    <div class="error-card" role="alert" data-testid="error" data-code={code}>
      <Icon name="alert" />
      <div class="error-text">
        <p>
          {errorSentence(code, message)}
          {retryAfter ? ` ${waitSentence(retryAfter)}` : ""}
        </p>
        {detail ? <p class="error-detail">{detail}</p> : null}
        {correlationId ? <p class="error-detail">{words.answer.reference(correlationId)}</p> : null}
        {children ? <p class="error-actions">{children}</p> : null}
      </div>
    </div>
  );
}
