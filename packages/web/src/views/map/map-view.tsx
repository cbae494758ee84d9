import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { mapLayout } from "../../app/preferences.js";
import { Legend } from "./legend.js";
import { LiveMap } from "./live-map.js";
import { MapTable } from "./map-table.js";
import { MapToolbar } from "./map-toolbar.js";
import { RecentMoves } from "./recent-moves.js";

/** The nodes with their tasks, as a map or as a table. */
export function MapView(): JSX.Element {
  const filter = useSignal("");
  return (
    <div class="map-page">
      <h1 class="hidden">Map</h1>
      <MapToolbar filter={filter.value} onFilter={(text) => (filter.value = text)} />
      {mapLayout.value === "map" ? <LiveMap filter={filter.value} /> : <MapTable filter={filter.value} />}
      <div class="columns">
        <Legend />
        <RecentMoves />
      </div>
    </div>
  );
}
