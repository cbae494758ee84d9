import type { JSX } from "preact";
import { cluster } from "../../app/cluster.js";
import { type TaskDisplay, taskDisplaySymbol, taskDisplayText } from "../../core/model/task-display.js";
import { routePath } from "../../core/route/route.js";

const SHOWN: readonly TaskDisplay[] = [
  "running",
  "starting",
  "unhealthy",
  "stopping",
  "unknown",
  "waiting",
  "failed",
  "lost",
];
/** Maximum number of services in the legend. More do not fit on a screen; the filter finds them. */
const MAX_SERVICES = 24;

/** What symbols and colors of the map mean. */
export function Legend(): JSX.Element {
  void cluster.revision.value;
  const names = [...cluster.store.services.values()].map(({ name }) => name).sort();
  return (
    <section class="part legend" aria-labelledby="legend-title">
      <h2 id="legend-title">Legend</h2>
      <ul>
        {SHOWN.map((display) => (
          <li key={display} class="status" data-state={display}>
            <span class="symbol" aria-hidden="true">
              {taskDisplaySymbol(display)}
            </span>{" "}
            {taskDisplayText(display)}
          </li>
        ))}
      </ul>
      <ul>
        {names.slice(0, MAX_SERVICES).map((name) => (
          <li key={name}>
            <span class={`swatch service-${cluster.colors.colorOf(name)}`} aria-hidden="true" />{" "}
            <a href={routePath({ view: "service", name })}>{name}</a>
          </li>
        ))}
        {names.length > MAX_SERVICES && <li>{names.length - MAX_SERVICES} more</li>}
      </ul>
    </section>
  );
}
