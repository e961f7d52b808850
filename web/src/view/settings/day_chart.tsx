import type { TargetedKeyboardEvent, TargetedPointerEvent, VNode } from "preact";
import { useId, useState } from "preact/hooks";
import { chartOf, type Day, dayAt, type Measure, tokensOf, valueOf } from "../../settings/usage";
import { settingsWords } from "../../words/settings_words";
import { format } from "../../words/words";
import { costWords } from "./usage";

/** Of the drawing, which is stretched to its place. */
const SIZE = { width: 600, height: 160 };

interface ChartProps {
  readonly days: readonly Day[];
  readonly measure: Measure;
}

/** A bar for each day. One of them is looked at, by pointer or by arrow keys, and read out; a table has them all. */
export function DayChart({ days, measure }: ChartProps): VNode {
  const [looked, look] = useState<number | null>(null);
  const title = useId();
  const { top, bars } = chartOf(days.map((day) => valueOf(day.row, measure)), SIZE);
  const at = Math.min(looked ?? days.length - 1, days.length - 1);
  const day = days[at];
  const pressed = (event: TargetedKeyboardEvent<HTMLDivElement>): void => {
    const to = { ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1, ArrowUp: at + 1, PageDown: at - 7, PageUp: at + 7, Home: 0, End: days.length - 1 }[event.key];
    if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    look(Math.max(0, Math.min(days.length - 1, to)));
  };
  const pointed = (event: TargetedPointerEvent<HTMLDivElement>): void => {
    const { left, width } = event.currentTarget.getBoundingClientRect();
    look(dayAt((event.clientX - left) / width, days.length));
  };
  if (!day) return <></>;
  const name = settingsWords.perDay[measure];
  return (
    <figure class="chart" data-testid="chart">
      <figcaption id={title}>
        <strong>{name}</strong> {settingsWords.utc}
      </figcaption>
      <div class="chart-plot">
        <span class="chart-top" aria-hidden="true">
          {measure === "tokens" ? format.number(top) : format.cost(top)}
        </span>
        <div
          class="chart-bars"
          role="slider"
          tabIndex={0}
          data-testid="chart-day"
          aria-label={name}
          aria-valuemin={1}
          aria-valuemax={days.length}
          aria-valuenow={at + 1}
          aria-valuetext={dayWords(day)}
          onKeyDown={pressed}
          onPointerMove={pointed}
          onPointerDown={pointed}
        >
          <svg viewBox={`0 0 ${SIZE.width} ${SIZE.height}`} preserveAspectRatio="none" aria-hidden="true" focusable="false">
            <rect class="chart-day" x={(at * SIZE.width) / days.length} y={0} width={SIZE.width / days.length} height={SIZE.height} />
            {bars.map((bar, place) => (bar ? <rect key={place} class="chart-bar" {...bar} /> : null))}
          </svg>
        </div>
        <div class="chart-dates" aria-hidden="true">
          <span>{dateOf(days[0])}</span>
          <span>{dateOf(days.at(-1))}</span>
        </div>
      </div>
      <p class="chart-said" data-testid="chart-said" aria-hidden="true">
        {dayWords(day)}
      </p>
      <details class="chart-table">
        <summary>{settingsWords.asTable}</summary>
        <DayTable days={days} title={title} />
      </details>
    </figure>
  );
}

function DayTable({ days, title }: { readonly days: readonly Day[]; readonly title: string }): VNode {
  return (
    <table class="numbers" data-testid="by-day" aria-labelledby={title}>
      <thead>
        <tr>
          <th scope="col">{settingsWords.day}</th>
          <th scope="col">{settingsWords.requests}</th>
          <th scope="col">{settingsWords.tokens}</th>
          <th scope="col">{settingsWords.cost}</th>
        </tr>
      </thead>
      <tbody>
        {days.toReversed().map(({ date, row }) => (
          <tr key={date.getTime()}>
            <th scope="row">{format.utcDay(date)}</th>
            <td>{format.number(row?.requests ?? 0)}</td>
            <td>{format.number(tokensOf(row))}</td>
            <td>{costWords(row)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function dateOf(day: Day | undefined): string {
  return day ? format.utcDay(day.date) : "";
}

function dayWords({ date, row }: Day): string {
  return settingsWords.ofDay(format.utcDay(date), tokensOf(row), costWords(row), row?.requests ?? 0);
}
