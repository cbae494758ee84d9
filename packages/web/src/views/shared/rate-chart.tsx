import type { JSX } from "preact";
import type { Rate } from "../../core/traffic/rate-history.js";
import { formatDuration } from "../../format/format.js";

/** Size of the chart in its own units. */
const WIDTH = 300;
const HEIGHT = 60;

export interface RateChartProps {
  /** What is counted: "Connections". */
  readonly subject: string;
  /** The rates, oldest first. */
  readonly rates: readonly Rate[];
}

/** A chart of a rate, with the part that failed. */
export function RateChart({ subject, rates }: RateChartProps): JSX.Element | null {
  const [first] = rates;
  const last = rates.at(-1);
  if (first === undefined || last === undefined || rates.length < 2) return null;
  const highest = Math.max(...rates.map(({ perSecond }) => perSecond));
  const point = (atMs: number, value: number): string => {
    const x = ((atMs - first.atMs) / (last.atMs - first.atMs)) * WIDTH;
    return `${x.toFixed(1)},${(HEIGHT * (1 - value / Math.max(1, highest))).toFixed(1)}`;
  };
  const line = rates.map(({ atMs, perSecond }) => point(atMs, perSecond)).join(" ");
  const failed = rates.map(({ atMs, failedPerSecond }) => point(atMs, failedPerSecond)).join(" ");
  const bottom = (points: string): string => `0,${HEIGHT} ${points} ${WIDTH},${HEIGHT}`;
  const text = `${subject} per second in the last ${formatDuration(last.atMs - first.atMs)}: ${last.perSecond.toFixed(0)} now, at most ${highest.toFixed(0)}`;
  return (
    <figure class="rate-chart">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
        <polygon class="area" points={bottom(line)} />
        <polyline class="line" points={line} />
        <polygon class="failed" points={bottom(failed)} />
      </svg>
      <figcaption class="note">{text}</figcaption>
    </figure>
  );
}
