import type { ComponentChildren, VNode } from "preact";
import { useId, useState } from "preact/hooks";
import type { Step } from "../protocol/run";
import { Icon, type IconName, Spinner, StopIcon } from "./icons";
import { statusWords } from "./step_words";

/** `stopped` and `interrupted`: it ran when the run was stopped, or ended otherwise. */
export type CardStatus = "running" | "waiting" | "completed" | "failed" | "denied" | "stopped" | "interrupted";

interface CardProps {
  readonly kind: Step["kind"] | "approval";
  readonly agent: string;
  readonly tool?: string | undefined;
  readonly status: CardStatus;
  readonly icon: IconName;
  readonly title: string;
  readonly hint?: string;
  /** What stands beside the status: how long it took, who allowed it. */
  readonly note?: ComponentChildren;
  /** A thought says how it stands in its title. */
  readonly bare?: boolean;
  /** How it is first shown; from then on only the person opens and closes it, so that nothing jumps. */
  readonly opened?: boolean;
  readonly children?: VNode | null;
}

export function StepCard({ kind, agent, tool, status, icon, title, hint, note, bare = false, opened = false, children }: CardProps): VNode {
  const [open, setOpen] = useState(opened);
  const body = useId();
  const hooks = { "data-testid": "step", "data-kind": kind, "data-agent": agent, "data-tool": tool, "data-status": status };
  const head = (
    <>
      <Icon name={icon} />
      <span class="step-title">{title}</span>
      {hint && !(open && children) ? <span class="step-hint">{hint}</span> : null}
      <span class="step-note">
        {bare ? null : <StatusSign status={status} />}
        {bare ? null : <span>{statusWords(status)}</span>}
        {note}
      </span>
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
      <button type="button" class="step-head" aria-expanded={open} aria-controls={body} onClick={() => setOpen(!open)}>
        {head}
        <span class="step-chevron">
          <Icon name="chevron" />
        </span>
      </button>
      <div class="step-body" id={body} hidden={!open}>
        {open ? children : null}
      </div>
    </div>
  );
}

function StatusSign({ status }: { readonly status: CardStatus }): VNode {
  switch (status) {
    case "running":
      return <Spinner />;
    case "waiting":
      return <Icon name="hand" />;
    case "completed":
      return <Icon name="check" />;
    case "stopped":
    case "denied":
      return <StopIcon />;
    default:
      return <Icon name="alert" />;
  }
}
