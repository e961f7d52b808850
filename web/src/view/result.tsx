import type { VNode } from "preact";
import { useState } from "preact/hooks";
import type { Truncated } from "../protocol/frames";
import { words } from "../words/words";
import { Spinner } from "./icons";
import type { LoadResult } from "./timeline";
import { Value } from "./value";
import { leftOut } from "./wording";

interface ResultProps {
  readonly result: unknown;
  readonly truncated: Truncated | undefined;
  readonly load: LoadResult;
}

type Whole = { readonly state: "unknown" | "loading" | "failed" } | { readonly state: "loaded"; readonly value: unknown };

/** What a tool gave. Of a large result the beginning, and the rest when the person wants it. */
export function ResultValue({ result, truncated, load }: ResultProps): VNode {
  const [whole, setWhole] = useState<Whole>({ state: "unknown" });
  if (!truncated) return <Value title={words.steps.result} value={result} />;
  if (whole.state === "loaded") return <Value key="whole" title={words.steps.result} value={whole.value} whole />;
  const show = (): void => {
    setWhole({ state: "loading" });
    load(truncated.href).then(
      (value) => setWhole({ state: "loaded", value }),
      () => setWhole({ state: "failed" }),
    );
  };
  return (
    <Value key="beginning" title={words.steps.result} value={String(result)}>
      <p class="value-rest">
        <button type="button" class="link" data-testid="show-result" onClick={show} disabled={whole.state === "loading"}>
          {leftOut(truncated)}
        </button>
        {whole.state === "loading" ? <Spinner /> : null}
        {whole.state === "failed" ? (
          <span class="steps-gone" role="status">
            {words.steps.resultGone}
          </span>
        ) : null}
      </p>
    </Value>
  );
}
