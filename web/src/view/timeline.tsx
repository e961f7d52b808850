import type { VNode } from "preact";
import { useState } from "preact/hooks";
import type { Step, SubagentStep, ThinkingStep, ToolStep } from "../protocol/run";
import { Icon, type IconName, Spinner } from "./icons";
import { memo } from "./memo";
import { ResultValue } from "./result";
import { Value } from "./value";
import { duration } from "./wording";

/** Fetches what a tool gave, whole. */
export type LoadResult = (href: string) => Promise<unknown>;

interface TimelineProps {
  readonly steps: readonly Step[];
  readonly running: boolean;
  /** The answer is being written: the last thought is over. */
  readonly writing: boolean;
  readonly load: LoadResult;
}

/** What the agent did on its way to the answer, in the order in which it began. */
export const Timeline = memo(({ steps, running, writing, load }: TimelineProps) => {
  if (steps.length === 0) return null;
  return (
    <ol class="timeline" aria-label="Steps">
      {steps.map((step, place) => (
        <li key={place}>
          <StepCard step={step} running={running} load={load} thinking={running && !writing && place === steps.length - 1} />
        </li>
      ))}
    </ol>
  );
});

interface StepProps {
  readonly step: Step;
  readonly running: boolean;
  readonly thinking: boolean;
  readonly load: LoadResult;
}

const StepCard = memo(({ step, running, thinking, load }: StepProps) => {
  switch (step.kind) {
    case "thinking":
      return <Thinking step={step} active={thinking} />;
    case "tool":
      return <Tool step={step} running={running} load={load} />;
    case "subagent":
      return <Subagent step={step} running={running} />;
  }
});

type CardStatus = "running" | "completed" | "failed" | "interrupted";

interface CardProps {
  readonly kind: Step["kind"];
  readonly tool?: string;
  readonly status: CardStatus;
  readonly icon: IconName;
  readonly title: string;
  readonly hint?: string;
  readonly note?: string;
  readonly children?: VNode | null;
}

/** Open while it runs, closed once done, and as the person left it after they touched it. */
function Card({ kind, tool, status, icon, title, hint, note, children }: CardProps): VNode {
  const [chosen, choose] = useState<boolean | null>(null);
  const open = chosen ?? status === "running";
  const hooks = { "data-testid": "step", "data-kind": kind, "data-tool": tool, "data-status": status };
  const head = (
    <>
      {status === "running" ? <Spinner /> : <Icon name={status === "failed" ? "alert" : icon} />}
      <span class="step-title">{title}</span>
      {hint ? <span class="step-hint">{hint}</span> : null}
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

function Thinking({ step, active }: { readonly step: ThinkingStep; readonly active: boolean }): VNode {
  return (
    <Card kind="thinking" status={active ? "running" : "completed"} icon="thought" title={active ? "Thinking" : "Thought"}>
      {step.text === "" ? null : <p class="thought">{step.text}</p>}
    </Card>
  );
}

interface ToolProps {
  readonly step: ToolStep;
  readonly running: boolean;
  readonly load: LoadResult;
}

function Tool({ step, running, load }: ToolProps): VNode {
  const status = step.status === "running" && !running ? "interrupted" : step.status;
  const note = status === "interrupted" ? "cut short" : step.duration_ms === undefined ? "" : duration(step.duration_ms);
  return (
    <Card kind="tool" tool={step.tool} status={status} icon="tool" title={step.tool} hint={oneLine(step.arguments)} note={note}>
      <>
        <Value name="Arguments" value={step.arguments} />
        {"result" in step ? <ResultValue result={step.result} truncated={step.truncated} load={load} /> : null}
        {step.error === undefined ? null : <Value name="Error" value={step.error} />}
      </>
    </Card>
  );
}

function Subagent({ step, running }: { readonly step: SubagentStep; readonly running: boolean }): VNode {
  const status = step.status === "running" && !running ? "interrupted" : step.status;
  return (
    <Card kind="subagent" status={status} icon="people" title={step.subagent} note={status === "interrupted" ? "cut short" : ""}>
      {"result" in step ? <Value name="Result" value={step.result} /> : null}
    </Card>
  );
}

/** The arguments in short, as a hint beside the tool's name. */
function oneLine(given: unknown): string {
  if (typeof given !== "object" || given === null) return given === undefined ? "" : String(given);
  return Object.entries(given)
    .map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(", ")
    .slice(0, 200);
}
