import { type Filter, filtersFor, type Need } from "./filters.js";
import { type Before, dropFirst, heapify, reorderFirst } from "./heap.js";
import type { ClusterView, NodeView } from "./model.js";

/** A number of equal tasks of one service that look for nodes. */
export interface PlacementRequest {
  readonly count: number;
  readonly need: Need;
  readonly load: ServiceLoad;
}

/** How the service sits on the nodes already, by node id. */
export interface ServiceLoad {
  /** Tasks that will stay: what spreading looks at. */
  readonly staying: ReadonlyMap<string, number>;
  /** Tasks that occupy the node, those about to stop included: what the limit per node looks at. */
  readonly held: ReadonlyMap<string, number>;
}

export interface Placement {
  /** A node for each task that got one, best first; at most `count`. */
  readonly nodeIds: readonly string[];
  /** Why the rest got none, counted over the nodes. Empty when all were placed. */
  readonly reason: string;
}

/** A node that still has room, with what the choice depends on. Changes as it is filled. */
interface Candidate {
  readonly view: NodeView;
  room: number;
  staying: number;
  tasks: number;
  nanoCpus: number;
  memoryBytes: number;
  share: number;
}

/**
 * Spreads equal tasks: each goes to the node with the fewest tasks of the service, then the least reserved (the
 * larger of its CPU and memory share), then the fewest tasks, then the smallest id. Filters are asked once per node;
 * after that only the node that took a task changes, so a heap finds the next one: O((nodes + count) · log nodes).
 */
export function place(request: PlacementRequest, cluster: ClusterView): Placement {
  const filters = filtersFor(request.need);
  const heap: Candidate[] = [];
  for (const view of cluster.nodes.values()) {
    const room = roomOn(view, filters, request.load);
    if (room > 0) heap.push(candidate(view, room, request.load));
  }
  heapify(heap, better);
  const nodeIds: string[] = [];
  for (let best = heap[0]; best !== undefined && nodeIds.length < request.count; best = heap[0]) {
    nodeIds.push(best.view.node.id);
    take(best, request.need);
    if (best.room > 0) reorderFirst(heap, better);
    else dropFirst(heap, better);
  }
  const reason = nodeIds.length < request.count ? explainFull(nodeIds, filters, request, cluster) : "";
  return { nodeIds, reason };
}

/** Whether one more task fits on this very node. */
export function fits(view: NodeView, need: Need, load: ServiceLoad): boolean {
  return roomOn(view, filtersFor(need), load) > 0;
}

/** Why none of these nodes takes a task: the first obstacle of each, counted. */
export function explain(views: Iterable<NodeView>, need: Need, load: ServiceLoad): string {
  return explainNodes(views, filtersFor(need), (filter, view) => roomBy(filter, view, load) <= 0);
}

function explainFull(
  nodeIds: readonly string[],
  filters: readonly Filter[],
  request: PlacementRequest,
  cluster: ClusterView,
): string {
  const placed = new Map<string, number>();
  for (const id of nodeIds) placed.set(id, (placed.get(id) ?? 0) + 1);
  return explainNodes(
    cluster.nodes.values(),
    filters,
    (filter, view) => roomBy(filter, view, request.load) <= (placed.get(view.node.id) ?? 0),
  );
}

function explainNodes(
  views: Iterable<NodeView>,
  filters: readonly Filter[],
  stops: (filter: Filter, view: NodeView) => boolean,
): string {
  const counts = new Map<Filter, number>();
  for (const view of views) {
    const obstacle = filters.find((filter) => stops(filter, view));
    if (obstacle !== undefined) counts.set(obstacle, (counts.get(obstacle) ?? 0) + 1);
  }
  if (counts.size === 0) return "there are no nodes";
  return filters
    .filter((filter) => counts.has(filter))
    .map((filter) => filter.explain(counts.get(filter) ?? 0))
    .join(", ");
}

function roomOn(view: NodeView, filters: readonly Filter[], load: ServiceLoad): number {
  let room = Number.POSITIVE_INFINITY;
  for (const filter of filters) {
    room = Math.min(room, roomBy(filter, view, load));
    if (room <= 0) return 0;
  }
  return room;
}

const roomBy = (filter: Filter, view: NodeView, load: ServiceLoad): number =>
  filter.room(view, load.held.get(view.node.id) ?? 0);

function candidate(view: NodeView, room: number, load: ServiceLoad): Candidate {
  return {
    view,
    room,
    staying: load.staying.get(view.node.id) ?? 0,
    tasks: view.taskCount,
    nanoCpus: view.reserved.nanoCpus,
    memoryBytes: view.reserved.memoryBytes,
    share: dominantShare(view, view.reserved.nanoCpus, view.reserved.memoryBytes),
  };
}

function take(chosen: Candidate, { demand }: Need): void {
  chosen.room -= 1;
  chosen.staying += 1;
  chosen.tasks += 1;
  if (demand.nanoCpus === 0 && demand.memoryBytes === 0) return;
  chosen.nanoCpus += demand.nanoCpus;
  chosen.memoryBytes += demand.memoryBytes;
  chosen.share = dominantShare(chosen.view, chosen.nanoCpus, chosen.memoryBytes);
}

const better: Before<Candidate> = (a, b) => {
  if (a.staying !== b.staying) return a.staying < b.staying;
  if (a.share !== b.share) return a.share < b.share;
  if (a.tasks !== b.tasks) return a.tasks < b.tasks;
  return a.view.node.id < b.view.node.id;
};

function dominantShare({ node }: NodeView, nanoCpus: number, memoryBytes: number): number {
  return Math.max(
    shareOf(nanoCpus, node.description?.nanoCpus ?? 0),
    shareOf(memoryBytes, node.description?.memoryBytes ?? 0),
  );
}

const shareOf = (reserved: number, capacity: number): number => (capacity > 0 ? reserved / capacity : 0);
