import type { VNode } from "preact";
import { type Branch, branches } from "../chat/branches";
import type { Approval, ContextStep, Step, SubagentStep, ThinkingStep, ToolStep } from "../protocol/run";
import { inSentence } from "../words/names";
import { format, words } from "../words/words";
import { Elapsed, type Now, useElapsed } from "./elapsed";
import { Markdown } from "./markdown";
import { memo } from "./memo";
import { ResultValue } from "./result";
import { StepCard } from "./step_card";
import { hasEnded, isThinking, lastLine, type RunPhase, statusIn, thoughtWords, toolWords } from "./step_words";
import { Value } from "./value";
import { approvalOutcome, contextWords } from "./wording";

const LONGEST_HINT = 200;

/** Fetches what a tool gave, whole. */
export type LoadResult = (href: string) => Promise<unknown>;

interface TimelineProps {
  readonly steps: readonly Step[];
  readonly approvals: Readonly<Record<string, Approval>>;
  readonly phase: RunPhase;
  readonly load: LoadResult;
  readonly now: Now;
}

/** What the agents did on their way to the answer, in the order in which it began, each within what asked for it. */
export const Timeline = memo(({ steps, approvals, phase, load, now }: TimelineProps) => {
  const unasked = Object.entries(approvals).filter(([id, approval]) => isDecided(approval, phase) && !wasCalled(steps, id));
  if (steps.length === 0 && unasked.length === 0) return null;
  return (
    <ol class="timeline" aria-label={words.steps.label} data-testid="timeline">
      {branches(steps).map((branch) => (
        <BranchItem key={branch.key} branch={branch} approvals={approvals} phase={phase} load={load} now={now} />
      ))}
      {unasked.map(([id, approval]) => (
        <li key={id}>
          <Undone approval={approval} ended={hasEnded(phase)} />
        </li>
      ))}
    </ol>
  );
});

function isDecided(approval: Approval, phase: RunPhase): boolean {
  return approvalOutcome(approval, hasEnded(phase)) !== null;
}

function wasCalled(steps: readonly Step[], id: string): boolean {
  return steps.some((step) => step.kind === "tool" && step.tool_call_id === id);
}

interface BranchProps {
  readonly branch: Branch;
  readonly approvals: Readonly<Record<string, Approval>>;
  readonly phase: RunPhase;
  readonly load: LoadResult;
  readonly now: Now;
}

function BranchItem({ branch, approvals, phase, load, now }: BranchProps): VNode | null {
  const { step, asked, inside } = branch;
  // A thought of which nothing is told has nothing to show: the line below the steps says that it goes on.
  if (step.kind === "thinking" && step.text === "") return null;
  const inner =
    inside.length === 0 ? null : (
      <ol class="timeline" aria-label={words.steps.of(inSentence(asked?.subagent ?? inside[0]?.step.agent ?? ""))}>
        {inside.map((each) => (
          <BranchItem key={each.key} branch={each} approvals={approvals} phase={phase} load={load} now={now} />
        ))}
      </ol>
    );
  const given = { phase, load, now };
  return (
    <li>
      {step.kind === "thinking" ? <Thinking step={step} going={isThinking(step, phase)} now={now} /> : null}
      {step.kind === "context" ? <ContextLine step={step} /> : null}
      {step.kind === "subagent" ? <Subagent step={step} tool={null} inner={inner} {...given} /> : null}
      {step.kind === "tool" && asked ? <Subagent step={asked} tool={step} inner={inner} {...given} /> : null}
      {step.kind === "tool" && !asked ? <Tool step={step} approval={approvals[step.tool_call_id] ?? null} {...given} /> : null}
    </li>
  );
}

interface ThinkingProps {
  readonly step: ThinkingStep;
  readonly going: boolean;
  readonly now: Now;
}

const Thinking = memo(({ step, going, now }: ThinkingProps) => {
  const elapsed = useElapsed(step.began_at, now, going);
  return (
    <StepCard
      kind="thinking"
      agent={step.agent}
      status={going ? "running" : "completed"}
      icon="thought"
      title={going ? words.steps.thinkingFor(format.elapsed(elapsed)) : thoughtWords(step)}
      hint={going ? lastLine(step.text, LONGEST_HINT) : ""}
      bare
    >
      <div class="answer thought">
        <Markdown text={step.text} growing={going} />
      </div>
    </StepCard>
  );
});

function ContextLine({ step }: { readonly step: ContextStep }): VNode {
  return (
    <p class="step-line" data-testid="step" data-kind="context" title={words.steps.contextSizes(step.estimated_tokens, step.limit_tokens)}>
      {contextWords(step)}
    </p>
  );
}

interface ToolProps {
  readonly step: ToolStep;
  readonly approval: Approval | null;
  readonly phase: RunPhase;
  readonly load: LoadResult;
  readonly now: Now;
}

const Tool = memo(({ step, approval, phase, load, now }: ToolProps) => {
  const status = statusIn(phase, step.status);
  const took = step.duration_ms === undefined ? null : format.duration(step.duration_ms);
  const decided = approval ? approvalOutcome(approval, false) : null;
  return (
    <StepCard
      kind="tool"
      agent={step.agent}
      tool={step.tool}
      status={status}
      icon="tool"
      title={toolWords(step.tool)}
      hint={step.error ?? oneLine(step.arguments)}
      note={
        <>
          {status === "running" ? <Elapsed since={step.began_at} now={now} /> : null}
          {decided ? <span>{decided}</span> : null}
          {took ? <span>{took}</span> : null}
        </>
      }
    >
      <>
        <Value title={words.steps.arguments} value={step.arguments} />
        {"result" in step ? <ResultValue result={step.result} truncated={step.truncated} load={load} /> : null}
        {step.error === undefined ? null : <Value title={words.steps.error} value={step.error} />}
      </>
    </StepCard>
  );
});

interface SubagentProps {
  readonly step: SubagentStep;
  /** The tool call that asked the agent. */
  readonly tool: ToolStep | null;
  readonly phase: RunPhase;
  readonly inner: VNode | null;
  readonly load: LoadResult;
  readonly now: Now;
}

function Subagent({ step, tool, phase, inner, load, now }: SubagentProps): VNode {
  const status = statusIn(phase, tool?.status ?? step.status);
  // Of a call that waited for a person nobody measured how long it took.
  const took = tool?.duration_ms ? format.duration(tool.duration_ms) : null;
  const error = step.error ?? tool?.error;
  return (
    <StepCard
      kind="subagent"
      agent={step.subagent}
      tool={tool?.tool}
      status={status}
      icon="people"
      title={step.subagent}
      hint={error ?? questionIn(tool?.arguments).slice(0, LONGEST_HINT)}
      note={status === "running" ? <Elapsed since={step.began_at} now={now} /> : took ? <span>{took}</span> : null}
      opened={status === "running" || status === "waiting"}
    >
      <>
        {tool ? <p class="asked" tabIndex={0}>{questionIn(tool.arguments)}</p> : null}
        {inner}
        {tool?.truncated ? <ResultValue result={tool.result} truncated={tool.truncated} load={load} /> : <Said text={step.result} />}
        {error === undefined ? null : <Value title={words.steps.error} value={error} />}
      </>
    </StepCard>
  );
}

/** An agent answers in Markdown. */
function Said({ text }: { readonly text: unknown }): VNode | null {
  if (typeof text !== "string" || text === "") return null;
  return (
    <div class="answer">
      <Markdown text={text} growing={false} />
    </div>
  );
}

/** A tool that was asked for and did not run. */
function Undone({ approval, ended }: { readonly approval: Approval; readonly ended: boolean }): VNode {
  const outcome = approvalOutcome(approval, ended) ?? "";
  return (
    <StepCard
      kind="approval"
      agent={approval.agent}
      tool={approval.tool}
      status="denied"
      icon="hand"
      title={toolWords(approval.tool)}
      hint={approval.reason ?? oneLine(approval.arguments)}
      note={<span>{outcome}</span>}
    >
      <>
        <Value title={words.steps.arguments} value={approval.arguments} />
        {approval.reason ? <Value title={words.steps.reason} value={approval.reason} /> : null}
      </>
    </StepCard>
  );
}

/** The question to an agent is most often the only argument of the tool that asks it. */
function questionIn(given: unknown): string {
  const values = typeof given === "object" && given !== null ? Object.values(given) : [];
  return values.length === 1 && typeof values[0] === "string" ? values[0] : inWords(given);
}

/** The arguments in short, as a hint beside the tool's name. */
function oneLine(given: unknown): string {
  return inWords(given).slice(0, LONGEST_HINT);
}

function inWords(given: unknown): string {
  if (typeof given !== "object" || given === null) return given === undefined ? "" : String(given);
  return Object.entries(given)
    .map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(", ");
}
