import type { HostVolume, NodeVolumes } from "@berth/proto";
import { type FilterTable, hasLabel } from "../options/filters.js";
import type { Listing } from "./print.js";

/** A Docker volume on one node. */
export interface VolumeRow {
  readonly volume: HostVolume;
  /** Hostname of the node. */
  readonly node: string;
}

/** Returns the volumes of all nodes, sorted by name. */
export function volumeRows(nodes: readonly NodeVolumes[]): readonly VolumeRow[] {
  return nodes
    .flatMap(({ hostname, volumes }) => volumes.map((volume) => ({ volume, node: hostname })))
    .toSorted((a, b) => a.volume.name.localeCompare(b.volume.name) || a.node.localeCompare(b.node));
}

/** Describes the output of `berth volume ls`: the columns of `docker volume ls` and the node, and JSON. */
export function volumeListing(rows: readonly VolumeRow[]): Listing<VolumeRow> {
  return {
    rows,
    id: ({ volume }) => volume.name,
    json: volumeJson,
    columns: [
      { title: "DRIVER", cell: ({ volume }) => volume.driver },
      { title: "VOLUME NAME", cell: ({ volume }) => volume.name },
      { title: "NODE", cell: ({ node }) => node },
      { title: "IN USE", cell: ({ volume }) => (volume.inUse ? "yes" : "no") },
    ],
  };
}

export const VOLUME_FILTERS: FilterTable<VolumeRow> = {
  name: { matches: ({ volume }, value) => volume.name.includes(value) },
  driver: { matches: ({ volume }, value) => volume.driver === value },
  label: { matches: ({ volume }, value) => hasLabel(volume.labels, value) },
  node: { matches: ({ node }, value) => node === value },
  dangling: {
    values: ["true", "false"],
    matches: ({ volume }, value) => volume.inUse === (value === "false"),
  },
};

export function volumeJson({ volume, node }: VolumeRow): object {
  const { name, driver, mountpoint, labels, driverOpts, createdAt, inUse } = volume;
  return { name, node, driver, mountpoint, labels, options: driverOpts, createdAt, inUse };
}
