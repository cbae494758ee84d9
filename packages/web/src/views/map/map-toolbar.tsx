import type { JSX } from "preact";
import { cluster } from "../../app/cluster.js";
import { density, mapLayout } from "../../app/preferences.js";
import { DENSITIES } from "../../core/map/density.js";
import { nodeStatus } from "../../core/model/node.js";
import { isEnded } from "../../core/model/task.js";
import { taskDisplay } from "../../core/model/task-display.js";
import { formatCount } from "../../format/format.js";

const DENSITY_NAMES = {
  automatic: "Automatic",
  comfortable: "Names",
  compact: "Symbols",
  dense: "Dots",
} as const;

export interface MapToolbarProps {
  readonly filter: string;
  readonly onFilter: (text: string) => void;
}

/** The toolbar above the map: counts, the filter, and display options. */
export function MapToolbar({ filter, onFilter }: MapToolbarProps): JSX.Element {
  return (
    <div class="toolbar">
      <ClusterCounts />
      <label>
        Filter{" "}
        <input
          type="search"
          value={filter}
          placeholder="service or task"
          onInput={({ currentTarget }) => onFilter(currentTarget.value.trim())}
        />
      </label>
      <label>
        Show as{" "}
        <select
          value={mapLayout.value}
          onChange={({ currentTarget }) =>
            (mapLayout.value = currentTarget.value === "table" ? "table" : "map")
          }
        >
          <option value="map">map</option>
          <option value="table">table</option>
        </select>
      </label>
      {mapLayout.value === "map" && <DensityChoice />}
    </div>
  );
}

function DensityChoice(): JSX.Element {
  const values = ["automatic", ...DENSITIES] as const;
  return (
    <label>
      Density{" "}
      <select
        value={density.value}
        onChange={({ currentTarget }) => {
          density.value = values.find((value) => value === currentTarget.value) ?? "automatic";
        }}
      >
        {values.map((value) => (
          <option key={value} value={value}>
            {DENSITY_NAMES[value]}
          </option>
        ))}
      </select>
    </label>
  );
}

/** How many nodes are ready, and how many tasks are known to run. */
export function ClusterCounts(): JSX.Element {
  void cluster.revision.value;
  const isCurrent = cluster.isCurrent.value;
  const { nodes, tasks } = cluster.store;
  const ready = [...nodes.values()].filter((node) => isUsable(nodeStatus(node, isCurrent))).length;
  const active = [...tasks.values()].filter((task) => !isEnded(task));
  const running = active.filter(
    (task) => taskDisplay(task, nodes.get(task.nodeId), isCurrent) === "running",
  ).length;
  return (
    <p class="counts">
      <strong>{ready}</strong> of {formatCount(nodes.size, "node")} ready, <strong>{running}</strong> of{" "}
      {formatCount(active.length, "task")} running
    </p>
  );
}

function isUsable(status: ReturnType<typeof nodeStatus>): boolean {
  return status === "ready" || status === "pause" || status === "drain";
}
