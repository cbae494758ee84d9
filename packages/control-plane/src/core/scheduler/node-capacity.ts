import type { ClusterSnapshot, NodeSnapshot } from "../model/snapshot.js";
import type { Filter } from "./filter.js";
import { acceptsTasks, eligibilityFilters, filtersFor, serviceFilters } from "./filters.js";
import type { TaskRequirements } from "./requirements.js";
import { occupiedTasksFunction, type ServicePlacement } from "./service-load.js";

/** Returns a function that computes how many more tasks fit on a node. It stops at the first filter with capacity 0. */
export function capacityFunction(
  requirements: TaskRequirements,
  cluster: ClusterSnapshot,
): (node: NodeSnapshot, occupiedByService: number) => number {
  const filters = serviceFilters(requirements, cluster);
  return (snapshot, occupied) => {
    let capacity = acceptsTasks(snapshot) ? Number.POSITIVE_INFINITY : 0;
    for (const filter of filters) {
      if (capacity <= 0) return 0;
      capacity = Math.min(capacity, filter.capacity(snapshot, occupied));
    }
    return capacity;
  };
}

/** Returns a predicate for the nodes on which tasks may run, regardless of state and load. */
export function eligibilityTest(requirements: TaskRequirements): (node: NodeSnapshot) => boolean {
  const filters = eligibilityFilters(requirements);
  return (node) => filters.every((filter) => filter.capacity(node, 0) > 0);
}

/** Returns a predicate for the nodes on which one more task of the service fits. */
export function fitTest(
  service: ServicePlacement,
  cluster: ClusterSnapshot,
): (snapshot: NodeSnapshot) => boolean {
  const capacityOf = capacityFunction(service.requirements, cluster);
  const occupiedOn = occupiedTasksFunction(service);
  return (snapshot) => capacityOf(snapshot, occupiedOn(snapshot)) > 0;
}

/** Explains why none of the nodes accepts a task: counts the nodes by the first filter that excludes them. */
export function explainNoCapacity(
  snapshots: Iterable<NodeSnapshot>,
  service: ServicePlacement,
  cluster: ClusterSnapshot,
): string {
  const occupiedOn = occupiedTasksFunction(service);
  const filters = filtersFor(service.requirements, cluster);
  return explainNodes(
    snapshots,
    filters,
    (filter, snapshot) => filter.capacity(snapshot, occupiedOn(snapshot)) <= 0,
  );
}

/** Explains why no more tasks fit after those on `nodeIds` were placed. */
export function explainShortage(
  nodeIds: readonly string[],
  service: ServicePlacement,
  cluster: ClusterSnapshot,
): string {
  const placed = new Map<string, number>();
  for (const id of nodeIds) placed.set(id, (placed.get(id) ?? 0) + 1);
  const occupiedOn = occupiedTasksFunction(service);
  return explainNodes(
    cluster.nodes.values(),
    filtersFor(service.requirements, cluster),
    (filter, snapshot) =>
      filter.capacity(snapshot, occupiedOn(snapshot)) <= (placed.get(snapshot.node.id) ?? 0),
  );
}

function explainNodes(
  snapshots: Iterable<NodeSnapshot>,
  filters: readonly Filter[],
  excludes: (filter: Filter, snapshot: NodeSnapshot) => boolean,
): string {
  const counts = new Map<Filter, number>();
  for (const snapshot of snapshots) {
    const excluding = filters.find((filter) => excludes(filter, snapshot));
    if (excluding !== undefined) counts.set(excluding, (counts.get(excluding) ?? 0) + 1);
  }
  if (counts.size === 0) return "there are no nodes";
  return filters
    .filter((filter) => counts.has(filter))
    .map((filter) => filter.explain(counts.get(filter) ?? 0))
    .join(", ");
}
