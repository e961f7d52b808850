import type { VNode } from "preact";
import { useState } from "preact/hooks";
import type { Step } from "../protocol/run";
import { Icon, type IconName, Spinner } from "./icons";

export type CardStatus = "running" | "waiting" | "completed" | "failed" | "interrupted";

interface CardProps {
  readonly kind: Step["kind"] | "approval";
  readonly agent: string;
  readonly tool?: string | undefined;
  readonly status: CardStatus;
  readonly icon: IconName;
  readonly title: string;
  readonly hint?: string;
  readonly note?: string;
  readonly children?: VNode | null;
}

/** Open while it runs, closed once done, and as the person left it after they touched it. */
export function StepCard({ kind, agent, tool, status, icon, title, hint, note, children }: CardProps): VNode {
  const [chosen, choose] = useState<boolean | null>(null);
  const open = chosen ?? (status === "running" || status === "waiting");
  const hooks = { "data-testid": "step", "data-kind": kind, "data-agent": agent, "data-tool": tool, "data-status": status };
  const head = (
    <>
      {status === "running" ? <Spinner /> : <Icon name={status === "failed" ? "alert" : icon} />}
      <span class="step-title">{title}</span>
      {hint && !(open && children) ? <span class="step-hint">{hint}</span> : null}
      {note ? <span class="step-note">{note}</span> : null}
    </>
  );
  if (!children) {
    return (
      <div class="step" {...hooks}>
        <div class="step-head">{head}</div>
      </div>
    );
  }
  return (
    <div class="step" {...hooks}>
      <button type="button" class="step-head" aria-expanded={open} onClick={() => choose(!open)}>
        {head}
        <span class="step-chevron">
          <Icon name="chevron" />
        </span>
      </button>
      {open ? <div class="step-body">{children}</div> : null}
    </div>
  );
}
