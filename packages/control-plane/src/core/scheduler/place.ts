import type { ClusterSnapshot, NodeGroups, NodeSnapshot, OrderedNode } from "../model/snapshot.js";
import {
  addTask,
  type Candidate,
  type CandidateFactory,
  type CandidateSource,
  createCandidate,
  isBetterCandidate,
  LeastLoadedSource,
  sortedSource,
} from "./candidates.js";
import { LevelQueue } from "./level-queue.js";
import { capacityFunction, explainShortage } from "./node-capacity.js";
import { minTasksPerNode } from "./node-counts.js";
import { occupiedTasksFunction, type ServicePlacement } from "./service-load.js";
import {
  addToGroup,
  countTasksByGroup,
  emptyGroup,
  type Group,
  groupIntoLeaves,
  type Leaf,
  SpreadTree,
} from "./spread.js";

/** A number of equal tasks of one service to be placed. */
export interface PlacementRequest extends ServicePlacement {
  readonly count: number;
  /** Nodes that get one task each before all other nodes if they have capacity. */
  readonly preferredNodeIds?: readonly string[];
}

/** The nodes chosen for a placement request. */
export interface Placement {
  /** The nodes of the tasks that were not placed on a preferred node, best first. */
  readonly nodeIds: readonly string[];
  /** The preferred nodes that got a task. Together with `nodeIds` there are at most `count`. */
  readonly onPreferred: readonly string[];
  /** Why the remaining tasks have no node, counted over all nodes. Empty when all tasks were placed. */
  readonly reason: string;
}

/**
 * Chooses nodes for equal tasks of one service, spread as evenly as possible.
 *
 * Nodes are compared in this order:
 * 1. Nodes that are not to be avoided come first.
 * 2. At each spread level, the group with the fewest tasks of the service comes first.
 * 3. Within a group, nodes are ordered by the tasks of the service, the reserved share (the larger of CPU and memory),
 *    the tasks of all services, and the id.
 *
 * The cluster keeps its nodes ordered by load. The filters only run on a node when its turn comes. So placing one task
 * costs about as much as checking the nodes that reject it.
 */
export function place(request: PlacementRequest, cluster: ClusterSnapshot): Placement {
  const { count, requirements, load } = request;
  const index = cluster.spreadIndexes.groupedBy(requirements.spread);
  const groups =
    requirements.spread.length === 0
      ? emptyGroup()
      : countTasksByGroup(load.tasksByNode, (nodeId) => index.pathOf(nodeId));
  const preferred = new Map<string, Candidate>();
  const candidateFor = candidateFactory(request, cluster, preferred);
  const state: PlacementState = { request, cluster, index, preferred, candidateFor };
  const onPreferred = placeOnPreferred(state, groups);
  const remaining = count - onPreferred.length;
  const nodeIds: string[] = [];
  for (const leaves of candidateTiers(state)) {
    if (nodeIds.length === remaining) break;
    const tree = new SpreadTree(leaves, groups, { step: 1, before: isBetterCandidate });
    while (nodeIds.length < remaining) {
      const { best } = tree;
      if (best === undefined) break;
      nodeIds.push(best.id);
      tree.take();
    }
  }
  const isShort = nodeIds.length < remaining;
  const reason = isShort ? explainShortage([...onPreferred, ...nodeIds], request, cluster) : "";
  return { nodeIds, onPreferred, reason };
}

/** The inputs of one placement and the candidates that already got tasks. */
interface PlacementState {
  readonly request: PlacementRequest;
  readonly cluster: ClusterSnapshot;
  readonly index: NodeGroups;
  /** The candidates among the preferred nodes, with the tasks placed on them. */
  readonly preferred: Map<string, Candidate>;
  readonly candidateFor: CandidateFactory;
}

function candidateFactory(
  request: PlacementRequest,
  cluster: ClusterSnapshot,
  preferred: ReadonlyMap<string, Candidate>,
): CandidateFactory {
  const { tasksByNode } = request.load;
  const capacityOf = capacityFunction(request.requirements, cluster);
  const occupiedOn = occupiedTasksFunction(request);
  return (snapshot) => {
    const { id } = snapshot.node;
    const known = preferred.get(id);
    const capacity = known === undefined ? capacityOf(snapshot, occupiedOn(snapshot)) : known.capacity;
    if (capacity <= 0) return undefined;
    return known ?? createCandidate(snapshot, { capacity, serviceTasks: tasksByNode.get(id) ?? 0 });
  };
}

/** Places tasks on their preferred nodes and counts them for the rest of the placement. */
function placeOnPreferred(
  { request, cluster, index, preferred, candidateFor }: PlacementState,
  groups: Group,
): readonly string[] {
  const { preferredNodeIds = [], requirements } = request;
  return preferredNodeIds.filter((id) => {
    const snapshot = cluster.nodes.get(id);
    const candidate = snapshot === undefined ? undefined : candidateFor(snapshot);
    if (candidate === undefined) return false;
    preferred.set(id, candidate);
    addTask(candidate, requirements.resources);
    addToGroup(groups, index.pathOf(id), 1);
    return true;
  });
}

/** Yields the candidates by tier: first the nodes that are not to be avoided, then avoided nodes by failures. */
function* candidateTiers(state: PlacementState): Iterable<readonly Leaf<Candidate>[]> {
  yield mainTier(state);
  for (const snapshots of avoidedTiers(state)) yield avoidedTier(snapshots, state);
}

/** Returns the candidates that are not to be avoided, by spread group. */
function mainTier(state: PlacementState): readonly Leaf<Candidate>[] {
  const { request, index } = state;
  const minTasks = request.requirements.spread.length === 0 ? minTasksOf(state) : 0;
  return Array.from(index.groups, ({ path, loadOrder }) => {
    const source = mainSource(loadOrder.inOrder(), minTasks, state);
    return { path, pool: new LevelQueue(source, request.requirements.resources) };
  });
}

function minTasksOf({ request, cluster, index }: PlacementState): number {
  const { acceptingCount } = index;
  return minTasksPerNode(request.load.tasksByNode, { acceptingCount, closedNodeIds: cluster.closedNodeIds });
}

/**
 * Returns the source of the candidates among `nodes`, which are in order of load.
 *
 * The lazy source relies on this order and on the task counts from before the placement. Neither includes tasks placed on
 * preferred nodes, so the candidates are sorted again when there are any.
 */
function mainSource(
  nodes: readonly OrderedNode[],
  minTasks: number,
  { request: { load }, preferred, candidateFor }: PlacementState,
): CandidateSource {
  return preferred.size === 0
    ? new LeastLoadedSource(nodes, { candidateFor, load, minTasks })
    : sortedSource(snapshotsExcept(load.avoided, nodes), candidateFor);
}

function* snapshotsExcept(
  avoided: ReadonlyMap<string, number>,
  nodes: readonly OrderedNode[],
): Iterable<NodeSnapshot> {
  for (const { id, snapshot } of nodes) if (!avoided.has(id)) yield snapshot;
}

/** Returns the avoided nodes, grouped by their number of failures, the fewest first. */
function avoidedTiers({ request, cluster }: PlacementState): readonly (readonly NodeSnapshot[])[] {
  const byFailures = new Map<number, NodeSnapshot[]>();
  for (const [id, failures] of request.load.avoided) {
    const snapshot = cluster.nodes.get(id);
    if (snapshot === undefined) continue;
    const tier = byFailures.get(failures);
    if (tier === undefined) byFailures.set(failures, [snapshot]);
    else tier.push(snapshot);
  }
  return [...byFailures].sort(([a], [b]) => a - b).map(([, snapshots]) => snapshots);
}

/** Returns the candidates among avoided nodes, by spread group. */
function avoidedTier(
  snapshots: readonly NodeSnapshot[],
  { request, index, candidateFor }: PlacementState,
): readonly Leaf<Candidate>[] {
  return groupIntoLeaves(snapshots, {
    pathOf: ({ node }) => index.pathOf(node.id),
    poolOf: (members) => new LevelQueue(sortedSource(members, candidateFor), request.requirements.resources),
  });
}
