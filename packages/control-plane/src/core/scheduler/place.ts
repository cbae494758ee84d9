import type { ClusterSnapshot, NodeSnapshot } from "../model/snapshot.js";
import {
  addTask,
  type Candidate,
  type CandidateFactory,
  candidateOf,
  isBetterCandidate,
  LeastLoadedSource,
  LevelQueue,
  sortedSource,
} from "./candidates.js";
import { capacityFor, type Filter, filtersFor, type TaskRequirements } from "./filters.js";
import type { OrderedNode } from "./load-order.js";
import { minTasksPerNode, type NodeCounts } from "./service-load.js";
import { countGroups, countInto, emptyGroup, type Group, type Leaf, leavesOf, SpreadTree } from "./spread.js";
import type { SpreadIndex } from "./spread-index.js";

/** A number of equal tasks of one service that look for nodes. */
export interface PlacementRequest extends ServicePlacement {
  readonly count: number;
  /** Nodes that some of them go to before anything else is weighed, while these have room. */
  readonly preferredNodeIds?: readonly string[];
}

/** What looks for a node: tasks of a service that sits on the nodes already. */
export interface ServicePlacement {
  readonly requirements: TaskRequirements;
  readonly load: ServiceLoad;
}

/** How the service sits on the nodes already, by node id. */
export interface ServiceLoad {
  /** Tasks that will stay: what spreading looks at. */
  readonly tasksByNode: NodeCounts;
  /** Tasks that occupy the node, those about to stop included: what the limit per node looks at. */
  readonly occupiedByNode: NodeCounts;
  /** Nodes to be chosen after all others, the higher the number (above 0) the later. */
  readonly avoided: ReadonlyMap<string, number>;
}

export interface Placement {
  /** A node for each task that got one otherwise than by a wish, best first. */
  readonly nodeIds: readonly string[];
  /** The wishes that were granted; there are at most `count` nodes with the others. */
  readonly onPreferred: readonly string[];
  /** Why the rest got none, counted over the nodes. Empty when all were placed. */
  readonly reason: string;
}

/**
 * Spreads equal tasks. Each goes to a node that is not to be avoided; of these to the group with the fewest tasks of
 * the service, level by level; in it to the node with the fewest, then the least reserved (the larger of its CPU and
 * memory share), then the fewest tasks of all services, then the smallest id.
 *
 * Nodes are looked at in that order, which the cluster has ready, and asked whether they have room when their turn
 * comes: one task costs about as much as the nodes that turn it down. Once a node has taken a task only it changes.
 */
export function place(request: PlacementRequest, cluster: ClusterSnapshot): Placement {
  const { count, requirements: need, load } = request;
  const way = cluster.orders.by(need.spread);
  const groups =
    need.spread.length === 0 ? emptyGroup() : countGroups(load.tasksByNode, (nodeId) => way.pathOf(nodeId));
  const wished = new Map<string, Candidate>();
  const context = { request, cluster, way, wished, ask: asker(request, cluster, wished) };
  const granted = grantWishes(context, groups);
  const free = count - granted.length;
  const nodeIds: string[] = [];
  for (const leaves of ranks(context)) {
    if (nodeIds.length === free) break;
    const pool = new SpreadTree(leaves, groups, { step: 1, before: isBetterCandidate });
    while (nodeIds.length < free) {
      const { best } = pool;
      if (best === undefined) break;
      nodeIds.push(best.id);
      pool.take();
    }
  }
  const isShort = nodeIds.length < free;
  const reason = isShort ? explainFull([...granted, ...nodeIds], request, cluster) : "";
  return { nodeIds, onPreferred: granted, reason };
}

interface PlaceContext {
  readonly request: PlacementRequest;
  readonly cluster: ClusterSnapshot;
  readonly way: SpreadIndex;
  /** Candidates that took a task by a wish, or were asked for one. */
  readonly wished: Map<string, Candidate>;
  readonly ask: CandidateFactory;
}

function asker(
  request: PlacementRequest,
  cluster: ClusterSnapshot,
  wished: ReadonlyMap<string, Candidate>,
): CandidateFactory {
  const { tasksByNode: staying } = request.load;
  const roomOn = capacityFor(request.requirements, cluster);
  const heldOn = heldBy(request);
  return (view) => {
    const { id } = view.node;
    const known = wished.get(id);
    const room = known === undefined ? roomOn(view, heldOn(view)) : known.capacity;
    if (room <= 0) return undefined;
    return known ?? candidateOf(view, { room, staying: staying.get(id) ?? 0 });
  };
}

/** Puts tasks onto the nodes that they wish for; whatever is placed after them finds these as they are then. */
function grantWishes({ request, cluster, way, wished, ask }: PlaceContext, groups: Group): readonly string[] {
  const { preferredNodeIds: wishes = [], requirements: need } = request;
  return wishes.filter((id) => {
    const view = cluster.nodes.get(id);
    const candidate = view === undefined ? undefined : ask(view);
    if (candidate === undefined) return false;
    wished.set(id, candidate);
    addTask(candidate, need.resources);
    countInto(groups, way.pathOf(id), 1);
    return true;
  });
}

/** The nodes that may have room: first those that nothing speaks against, then the others, the worst ones last. */
function* ranks({ request, cluster, way, wished, ask }: PlaceContext): Iterable<readonly Leaf<Candidate>[]> {
  const { requirements: need, load } = request;
  const { resources: demand } = need;
  const isOneGroup = need.spread.length === 0;
  const least = isOneGroup
    ? minTasksPerNode(load.tasksByNode, { open: way.openCount, closed: cluster.closed })
    : 0;
  yield Array.from(way.groups, ({ path, order }) => {
    const nodes = order.inOrder();
    const source =
      wished.size === 0
        ? new LeastLoadedSource(nodes, { ask, load, least })
        : sortedSource(viewsBut(load.avoided, nodes), ask);
    return { path, pool: new LevelQueue(source, demand) };
  });
  const avoided = new Map<number, NodeSnapshot[]>();
  for (const [id, rank] of load.avoided) {
    const view = cluster.nodes.get(id);
    if (view !== undefined) avoided.set(rank, [...(avoided.get(rank) ?? []), view]);
  }
  for (const [, views] of [...avoided].sort(([a], [b]) => a - b)) {
    yield leavesOf(views, {
      pathOf: ({ node }) => way.pathOf(node.id),
      poolOf: (members) => new LevelQueue(sortedSource(members, ask), demand),
    });
  }
}

function* viewsBut(
  avoided: ReadonlyMap<string, number>,
  nodes: readonly OrderedNode[],
): Iterable<NodeSnapshot> {
  for (const { id, view } of nodes) if (!avoided.has(id)) yield view;
}

/** Asks whether one more task fits on a node. */
export function fitTest(seeker: ServicePlacement, cluster: ClusterSnapshot): (view: NodeSnapshot) => boolean {
  const roomOn = capacityFor(seeker.requirements, cluster);
  const heldOn = heldBy(seeker);
  return (view) => roomOn(view, heldOn(view)) > 0;
}

/** Why none of these nodes takes a task: the first obstacle of each, counted. */
export function explainNoCapacity(
  views: Iterable<NodeSnapshot>,
  seeker: ServicePlacement,
  cluster: ClusterSnapshot,
): string {
  const heldOn = heldBy(seeker);
  const filters = filtersFor(seeker.requirements, cluster);
  return explainNodes(views, filters, (filter, view) => filter.capacity(view, heldOn(view)) <= 0);
}

function explainFull(
  nodeIds: readonly string[],
  request: PlacementRequest,
  cluster: ClusterSnapshot,
): string {
  const placed = new Map<string, number>();
  for (const id of nodeIds) placed.set(id, (placed.get(id) ?? 0) + 1);
  const heldOn = heldBy(request);
  return explainNodes(
    cluster.nodes.values(),
    filtersFor(request.requirements, cluster),
    (filter, view) => filter.capacity(view, heldOn(view)) <= (placed.get(view.node.id) ?? 0),
  );
}

function explainNodes(
  views: Iterable<NodeSnapshot>,
  filters: readonly Filter[],
  stops: (filter: Filter, view: NodeSnapshot) => boolean,
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

/** What a limit per node looks at; without a limit nothing does, and it is not worked out. */
function heldBy({ requirements: need, load }: ServicePlacement): (view: NodeSnapshot) => number {
  if (need.maxPerNode === Number.POSITIVE_INFINITY) return () => 0;
  const { occupiedByNode: held } = load;
  return ({ node }) => held.get(node.id) ?? 0;
}
