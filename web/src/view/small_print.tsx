import type { VNode } from "preact";
import { useId, useState } from "preact/hooks";
import type { AnswerView } from "../chat/turns";
import { format, words } from "../words/words";
import { Icon, StopIcon } from "./icons";
import { type Figure, figures, outcome } from "./step_words";
import { modelWords, smallPrint } from "./wording";

/** How an answer ended when it is not whole, and what it took: in short, and exactly when the person opens it. */
export function SmallPrint({ view }: { readonly view: AnswerView }): VNode | null {
  const [open, setOpen] = useState(false);
  const details = useId();
  const how = outcome(view);
  const print = smallPrint(view);
  const { usage } = view;
  if (how === null && print === "") return null;
  return (
    <>
      <p class="small-print">
        {how ? (
          <span class="outcome" data-testid="outcome">
            {view.status === "failed" ? <Icon name="alert" /> : <StopIcon />}
            {how}
          </span>
        ) : null}
        {usage ? (
          <button type="button" class="usage-button" data-testid="usage" aria-expanded={open} aria-controls={details} onClick={() => setOpen(!open)}>
            {print}
          </button>
        ) : print === "" ? null : (
          <span data-testid="usage">{print}</span>
        )}
      </p>
      {usage ? (
        <div id={details} hidden={!open}>
          {open ? <Figures figures={answerFigures(view)} /> : null}
        </div>
      ) : null}
    </>
  );
}

function answerFigures({ usage, durationMs, model }: AnswerView): Figure[] {
  if (!usage) return [];
  const took = durationMs === null ? [] : [{ name: words.usage.duration, value: format.duration(durationMs) }];
  return [{ name: words.usage.model, value: modelWords(model ?? usage.model) }, ...took, ...figures(usage, usage.cost_usd ?? null)];
}

export function Figures({ figures: all }: { readonly figures: readonly Figure[] }): VNode {
  return (
    <dl class="figures" data-testid="figures">
      {all.map(({ name, value }) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
