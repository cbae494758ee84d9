import type { ClusterView, NodeView } from "../model.js";
import { better, type Candidate, candidateOf, fill } from "./candidate.js";
import { type Filter, filtersFor, type Need, roomFor } from "./filters.js";
import { LevelQueue } from "./level-queue.js";
import { countGroups, spreadGroup, spreadPath } from "./spread-path.js";
import { countInto, type Group, SpreadTree } from "./spread-tree.js";

/** A number of equal tasks of one service that look for nodes. */
export interface PlacementRequest extends Seeker {
  readonly count: number;
  /** Nodes that some of them go to before anything else is weighed, while these have room. */
  readonly wishes?: readonly string[];
}

/** What looks for a node: tasks of a service that sits on the nodes already. */
export interface Seeker {
  readonly need: Need;
  readonly load: ServiceLoad;
}

/** How the service sits on the nodes already, by node id. */
export interface ServiceLoad {
  /** Tasks that will stay: what spreading looks at. */
  readonly staying: ReadonlyMap<string, number>;
  /** Tasks that occupy the node, those about to stop included: what the limit per node looks at. */
  readonly held: ReadonlyMap<string, number>;
  /** Nodes to be chosen after all others, the higher the number the later. */
  readonly avoid: ReadonlyMap<string, number>;
}

export interface Placement {
  /** A node for each task that got one otherwise than by a wish, best first. */
  readonly nodeIds: readonly string[];
  /** The wishes that were granted; there are at most `count` nodes with the others. */
  readonly granted: readonly string[];
  /** Why the rest got none, counted over the nodes. Empty when all were placed. */
  readonly reason: string;
}

/**
 * Spreads equal tasks. Each goes to a node that is not to be avoided; of these to the group with the fewest tasks of
 * the service, level by level; in it to the node with the fewest, then the least reserved (the larger of its CPU and
 * memory share), then the fewest tasks of all services, then the smallest id. Filters are asked once per node; after
 * that only the node that took a task changes: O((nodes + count) · log nodes).
 */
export function place(request: PlacementRequest, cluster: ClusterView): Placement {
  const { count, need, load } = request;
  const groups = countGroups(load.staying, cluster.nodes, need.spread);
  const ranks = candidateRanks(request, cluster);
  const granted = grantWishes(request, ranks, groups);
  const free = count - granted.length;
  const nodeIds: string[] = [];
  for (const candidates of ranks) {
    const open = granted.length === 0 ? candidates : candidates.filter(({ room }) => room > 0);
    const pool = new SpreadTree(open, groups, {
      levels: need.spread.length,
      groupAt: ({ view }, level) => spreadGroup(view.node, need.spread[level]),
      poolOf: (members) => new LevelQueue(members, { demand: need.demand, count: free }),
      step: 1,
      before: better,
    });
    for (let { best } = pool; best !== undefined && nodeIds.length < free; best = pool.best) {
      nodeIds.push(best.id);
      pool.take();
    }
  }
  const isShort = nodeIds.length < free;
  const reason = isShort ? explainFull([...granted, ...nodeIds], request, cluster) : "";
  return { nodeIds, granted, reason };
}

/** Puts tasks onto the nodes that they wish for; whatever is placed after them finds these as they are then. */
function grantWishes(
  { wishes = [], need }: PlacementRequest,
  ranks: readonly (readonly Candidate[])[],
  groups: Group,
): readonly string[] {
  if (wishes.length === 0) return [];
  const candidates = new Map(ranks.flat().map((candidate) => [candidate.id, candidate]));
  return wishes.filter((id) => {
    const candidate = candidates.get(id);
    if (candidate === undefined || candidate.room <= 0) return false;
    fill(candidate, need.demand);
    countInto(groups, spreadPath(candidate.view.node, need.spread), 1);
    return true;
  });
}

/** Asks whether one more task fits on a node. */
export function fitsOn(seeker: Seeker, cluster: ClusterView): (view: NodeView) => boolean {
  const roomOn = roomFor(seeker.need, cluster);
  return (view) => roomOn(view, seeker.load.held.get(view.node.id) ?? 0) > 0;
}

/** Why none of these nodes takes a task: the first obstacle of each, counted. */
export function explain(views: Iterable<NodeView>, { need, load }: Seeker, cluster: ClusterView): string {
  return explainNodes(views, filtersFor(need, cluster), (filter, view) => roomBy(filter, view, load) <= 0);
}

/** Nodes with room, those that nothing speaks against first. */
function candidateRanks({ need, load }: Seeker, cluster: ClusterView): readonly (readonly Candidate[])[] {
  const roomOn = roomFor(need, cluster);
  const ranks = new Map<number, Candidate[]>();
  for (const view of cluster.nodes.values()) {
    const { id } = view.node;
    const room = roomOn(view, load.held.get(id) ?? 0);
    if (room <= 0) continue;
    const candidate = candidateOf(view, { room, staying: load.staying.get(id) ?? 0 });
    const avoid = load.avoid.get(id) ?? 0;
    const rank = ranks.get(avoid);
    if (rank === undefined) ranks.set(avoid, [candidate]);
    else rank.push(candidate);
  }
  return [...ranks].sort(([a], [b]) => a - b).map(([, candidates]) => candidates);
}

function explainFull(nodeIds: readonly string[], request: PlacementRequest, cluster: ClusterView): string {
  const placed = new Map<string, number>();
  for (const id of nodeIds) placed.set(id, (placed.get(id) ?? 0) + 1);
  return explainNodes(
    cluster.nodes.values(),
    filtersFor(request.need, cluster),
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

const roomBy = (filter: Filter, view: NodeView, load: ServiceLoad): number =>
  filter.room(view, load.held.get(view.node.id) ?? 0);
