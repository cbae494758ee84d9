import type { JSX } from "preact";
import { cluster } from "../../app/cluster.js";
import { BAR_COUNT, eventBars, type TimeRange } from "../../core/timeline/event-bars.js";

/** Height of the chart in its own units. */
const HEIGHT = 10;
/** Height of a bar for one event, so that it is visible. */
const MIN_BAR_HEIGHT = 2.5;

/** Bars above the replay that show when something happened. The table of events has the same content. */
export function EventTrack({ range }: { readonly range: TimeRange }): JSX.Element {
  void cluster.revision.value;
  return (
    <svg
      class="event-track"
      viewBox={`0 0 ${BAR_COUNT} ${HEIGHT}`}
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      {eventBars(cluster.events, range).map(({ index, events, hasProblem }) => {
        const height = Math.min(HEIGHT, MIN_BAR_HEIGHT + 1.5 * Math.log2(events));
        return (
          <rect
            key={index}
            class={hasProblem ? "problem" : ""}
            x={index}
            y={HEIGHT - height}
            width={0.8}
            height={height}
          />
        );
      })}
    </svg>
  );
}
