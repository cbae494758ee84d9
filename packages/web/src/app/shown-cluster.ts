import { ClusterStore } from "../core/cluster/cluster-store.js";
import type { ClusterView } from "../core/map/cluster-view.js";
import { cluster } from "./cluster.js";

/** Returns the cluster that the web UI shows: the present, or the time of the replay. */
export function shownView(): ClusterView {
  const atMs = cluster.replayAtMs.value;
  return atMs === undefined ? cluster.store : pastView(atMs);
}

/** Returns whether the web UI knows the states that it shows. The past stays known when the web UI is cut off. */
export function isShownCurrent(): boolean {
  return cluster.replayAtMs.value !== undefined || cluster.isCurrent.value;
}

/** Returns the cluster as it was at a time. */
function pastView(atMs: number): ClusterView {
  const { nodes, tasks } = cluster.history.at(atMs);
  const store = new ClusterStore();
  store.setRecords(nodes, tasks);
  return store;
}
