import type { VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Fetch } from "../../chat/rest";
import { RestError } from "../../session/rest";
import { type LimitUse, loadAllowance } from "../../settings/rest";
import { settingsWords } from "../../words/settings_words";
import { format } from "../../words/words";

/** From here on it is nearly used up. */
const NEAR = 0.8;

/** What the person may use, and how much of it is left. Of what nobody limits nothing is said. */
export function Allowance({ fetch }: { readonly fetch: Fetch }): VNode | null {
  const limited = useAllowance(fetch).flatMap(({ limit, used, allowed }) => (allowed === null ? [] : [{ limit, used, allowed }]));
  if (limited.length === 0) return null;
  return (
    <section class="allowances" data-testid="allowances">
      <h3>{settingsWords.allowance}</h3>
      <dl>
        {limited.map(({ limit, used, allowed }) => {
          const said = settingsWords.usedOf(amount(limit, used), amount(limit, allowed), amount(limit, Math.max(0, allowed - used)));
          return (
            <div key={limit} data-limit={limit}>
              <dt>{nameOf(limit)}</dt>
              <dd>
                {said}
                <meter aria-label={nameOf(limit)} min={0} max={allowed} high={allowed * NEAR} value={Math.min(used, allowed)}>
                  {said}
                </meter>
              </dd>
            </div>
          );
        })}
      </dl>
    </section>
  );
}

/** Nothing, until it is there; and when it cannot be had, the rest of the section says so. */
function useAllowance(fetch: Fetch): readonly LimitUse[] {
  const [uses, setUses] = useState<readonly LimitUse[]>([]);
  useEffect(() => {
    const ending = new AbortController();
    loadAllowance(fetch, ending.signal).then(setUses, (error: unknown) => {
      if (!(error instanceof RestError)) throw error;
    });
    return () => ending.abort();
  }, [fetch]);
  return uses;
}

function nameOf(limit: string): string {
  return settingsWords.limits[limit as keyof typeof settingsWords.limits] ?? limit;
}

function amount(limit: string, value: number): string {
  return limit === "cost_usd_per_day" ? format.wholeCost(value) : format.number(value);
}
