import type { VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Fetch } from "../../chat/rest";
import { RestError } from "../../session/rest";
import { loadUsage, type UsageRow } from "../../settings/rest";
import { costOf, daysOf, firstDay, type Measure, MEASURES, type Period, PERIODS, tokensOf, type Usage } from "../../settings/usage";
import "../../style/settings_usage.css";
import { settingsWords } from "../../words/settings_words";
import { format, words } from "../../words/words";
import { Icon } from "../icons";
import { Allowance } from "./allowance";
import { DayChart } from "./day_chart";
import type { SectionProps } from "./page";
import { Failure } from "./parts";

/** What the person's requests to models took: in all, by day, by agent and by model. */
export function UsageSection({ chat }: SectionProps): VNode {
  const [period, setPeriod] = useState<Period>(30);
  const [measure, setMeasure] = useState<Measure>("tokens");
  const { usage, failure, again } = useUsage(chat.fetch, period);
  return (
    <>
      <Allowance fetch={chat.fetch} />
      <p class="setting-about">{settingsWords.usageAbout}</p>
      <div class="choices" role="radiogroup" aria-label={settingsWords.period}>
        {PERIODS.map((days) => (
          <label key={days} class="choice" data-testid={`days-${days}`}>
            <input type="radio" name="period" checked={days === period} onChange={() => setPeriod(days)} />
            {settingsWords.days(days)}
          </label>
        ))}
      </div>
      {failure ? <Failure error={failure} again={again} /> : null}
      {usage === null ? (
        failure ? null : <p class="setting-note appear">{words.app.loading}</p>
      ) : usage.total.requests === 0 ? (
        <Empty />
      ) : (
        <Report usage={usage} measure={measure} choose={setMeasure} />
      )}
    </>
  );
}

interface Loaded {
  readonly usage: Usage | null;
  readonly failure: RestError | null;
  readonly again: () => void;
}

/** What was shown before stays until there is something else to show. */
function useUsage(fetch: Fetch, period: Period): Loaded {
  const [usage, setUsage] = useState<Usage | null>(null);
  const [failure, setFailure] = useState<RestError | null>(null);
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    const ending = new AbortController();
    setFailure(null);
    load(fetch, period, ending.signal).then(setUsage, (error: unknown) => {
      if (!(error instanceof RestError)) throw error;
      if (error.code === "ABORTED") return;
      setUsage(null);
      setFailure(error);
    });
    return () => ending.abort();
  }, [fetch, period, attempt]);
  return { usage, failure, again: () => setAttempt(attempt + 1) };
}

/** All parts up to the same moment. */
async function load(fetch: Fetch, period: Period, signal: AbortSignal): Promise<Usage> {
  const days = await loadUsage(fetch, { since: firstDay(period, new Date()), by: "day", signal });
  const { since, until } = days;
  const [agents, models] = await Promise.all([
    loadUsage(fetch, { since, until, by: "agent", signal }),
    loadUsage(fetch, { since, until, by: "model", signal }),
  ]);
  return { days: daysOf(days), agents: agents.rows, models: models.rows, total: days.total };
}

function Empty(): VNode {
  return (
    <div class="nothing" data-testid="no-usage">
      <Icon name="chart" />
      <h3>{settingsWords.noUsage}</h3>
      <p>{settingsWords.noUsageAbout}</p>
    </div>
  );
}

interface ReportProps {
  readonly usage: Usage;
  readonly measure: Measure;
  readonly choose: (measure: Measure) => void;
}

function Report({ usage, measure, choose }: ReportProps): VNode {
  const { total, days, agents, models } = usage;
  const hasCosts = Number(total.cost_usd) > 0;
  const shown = hasCosts ? measure : "tokens";
  return (
    <>
      <dl class="totals" data-testid="totals">
        <Total name={settingsWords.tokens} value={format.number(tokensOf(total))} note={settingsWords.readAndWritten(total.input_tokens, total.output_tokens)} />
        <Total name={settingsWords.cost} value={costWords(total)} note={total.unpriced > 0 ? settingsWords.unpriced(total.unpriced) : ""} />
        <Total name={settingsWords.requests} value={format.number(total.requests)} note={total.failed > 0 ? settingsWords.failed(total.failed) : ""} />
      </dl>
      {hasCosts ? (
        <div class="choices" role="radiogroup" aria-label={settingsWords.measure}>
          {MEASURES.map((name) => (
            <label key={name} class="choice" data-testid={`measure-${name}`}>
              <input type="radio" name="measure" checked={name === shown} onChange={() => choose(name)} />
              {settingsWords.measures[name]}
            </label>
          ))}
        </div>
      ) : null}
      <DayChart days={days} measure={shown} />
      <Groups title={settingsWords.byAgent} name={settingsWords.agent} rows={agents} of="agent" />
      <Groups title={settingsWords.byModel} name={settingsWords.model} rows={models} of="model" />
    </>
  );
}

function Total({ name, value, note }: { readonly name: string; readonly value: string; readonly note: string }): VNode {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {value}
        {note === "" ? null : <span class="total-note">{note}</span>}
      </dd>
    </div>
  );
}

export function costWords(row: UsageRow | null): string {
  const cost = costOf(row);
  return cost === null ? settingsWords.priceUnknown : cost === 0 ? format.wholeCost(0) : format.cost(cost);
}

interface GroupsProps {
  readonly title: string;
  readonly name: string;
  readonly rows: readonly UsageRow[];
  readonly of: "agent" | "model";
}

function Groups({ title, name, rows, of }: GroupsProps): VNode {
  return (
    <table class="numbers" data-testid={`by-${of}`}>
      <caption>{title}</caption>
      <thead>
        <tr>
          <th scope="col">{name}</th>
          <th scope="col">{settingsWords.requests}</th>
          <th scope="col">{settingsWords.tokens}</th>
          <th scope="col">{settingsWords.cost}</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={row.group[of]} data-group={row.group[of]}>
            <th scope="row">{row.group[of]}</th>
            <td>{format.number(row.requests)}</td>
            <td>{format.number(tokensOf(row))}</td>
            <td>{costWords(row)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
