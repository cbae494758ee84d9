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
import { addToGroup, countTasksByGroup, emptyGroup, type Group } from "./spread-counts.js";
import { groupIntoLeaves, type Leaf, SpreadTree } from "./spread-tree.js";

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
  /** Reasons why the remaining tasks have no node, counted over all nodes. Empty if all tasks were placed. */
  readonly reason: string;
}

/**
 * Chooses nodes for equal tasks of one service, spread as evenly as possible.
 *
 * Nodes are compared in this order:
 * 1. Nodes that placement need not avoid come first.
 * 2. At each spread level, the group with the fewest tasks of the service comes first.
 * 3. Within a group, nodes are ordered by the tasks of the service, the reserved share (the larger of CPU and memory),
 *    the tasks of all services, and the ID.
 *
 * The cluster keeps its nodes ordered by load. The filters only run on a node when its turn comes. So placing one task
 * costs about as much as checking the nodes that reject it.
 */
export function place(request: PlacementRequest, cluster: ClusterSnapshot): Placement {
  const run = new PlacementRun(request, cluster);
  const onPreferred = run.placeOnPreferred();
  const remaining = request.count - onPreferred.length;
  const nodeIds = run.placeEvenly(remaining);
  const isShort = nodeIds.length < remaining;
  const reason = isShort ? explainShortage([...onPreferred, ...nodeIds], request, cluster) : "";
  return { nodeIds, onPreferred, reason };
}

/** Chooses the nodes of one request. Counts the tasks that it has placed so far. */
class PlacementRun {
  readonly #request: PlacementRequest;
  readonly #cluster: ClusterSnapshot;
  readonly #index: NodeGroups;
  /** Tasks of the service by spread group, including tasks placed so far. */
  readonly #groups: Group;
  /** The candidates among the preferred nodes, with the tasks placed on them. */
  readonly #preferred = new Map<string, Candidate>();
  readonly #candidateFor: CandidateFactory;

  constructor(request: PlacementRequest, cluster: ClusterSnapshot) {
    const { requirements, load } = request;
    const index = cluster.spreadIndexes.groupedBy(requirements.spread);
    this.#request = request;
    this.#cluster = cluster;
    this.#index = index;
    this.#groups =
      requirements.spread.length === 0
        ? emptyGroup()
        : countTasksByGroup(load.tasksByNode, (nodeId) => index.pathOf(nodeId));
    this.#candidateFor = candidateFactory(request, cluster, this.#preferred);
  }

  /** Places one task on each preferred node that has capacity. Returns these nodes. */
  placeOnPreferred(): readonly string[] {
    const { preferredNodeIds = [], requirements } = this.#request;
    const nodeIds: string[] = [];
    for (const id of preferredNodeIds) {
      const snapshot = this.#cluster.nodes.get(id);
      const candidate = snapshot === undefined ? undefined : this.#candidateFor(snapshot);
      if (candidate === undefined) continue;
      this.#preferred.set(id, candidate);
      addTask(candidate, requirements.resources);
      addToGroup(this.#groups, this.#index.pathOf(id), 1);
      nodeIds.push(id);
    }
    return nodeIds;
  }

  /** Places up to `count` tasks on the best nodes. Returns the node of each task, best first. */
  placeEvenly(count: number): readonly string[] {
    const nodeIds: string[] = [];
    for (const leaves of this.#tiers()) {
      if (nodeIds.length === count) break;
      const tree = new SpreadTree(leaves, this.#groups, { step: 1, before: isBetterCandidate });
      while (nodeIds.length < count) {
        const { best } = tree;
        if (best === undefined) break;
        nodeIds.push(best.id);
        tree.take();
      }
    }
    return nodeIds;
  }

  /** Yields the candidates by tier: first the nodes that placement need not avoid, then avoided nodes by failures. */
  *#tiers(): Iterable<readonly Leaf<Candidate>[]> {
    yield this.#mainTier();
    for (const snapshots of avoidedTiers(this.#request, this.#cluster)) yield this.#avoidedTier(snapshots);
  }

  /** Returns the candidates that placement need not avoid, by spread group. */
  #mainTier(): readonly Leaf<Candidate>[] {
    const { spread, resources } = this.#request.requirements;
    const minTasks = spread.length === 0 ? this.#minTasksPerNode() : 0;
    return Array.from(this.#index.groups, ({ path, loadOrder }) => {
      const source = this.#mainSource(loadOrder.inOrder(), minTasks);
      return { path, pool: new LevelQueue(source, resources) };
    });
  }

  #minTasksPerNode(): number {
    const { acceptingCount } = this.#index;
    const { unschedulableNodeIds } = this.#cluster;
    return minTasksPerNode(this.#request.load.tasksByNode, { acceptingCount, unschedulableNodeIds });
  }

  /**
   * Returns the source of the candidates among `nodes`, which are in order of load.
   *
   * The lazy source relies on this order and on the task counts from before the placement. Neither includes tasks placed
   * on preferred nodes, so the candidates are sorted again when there are any.
   */
  #mainSource(nodes: readonly OrderedNode[], minTasks: number): CandidateSource {
    const { load } = this.#request;
    return this.#preferred.size === 0
      ? new LeastLoadedSource(nodes, { candidateFor: this.#candidateFor, load, minTasks })
      : sortedSource(snapshotsExcept(load.avoided, nodes), this.#candidateFor);
  }

  /** Returns the candidates among avoided nodes, by spread group. */
  #avoidedTier(snapshots: readonly NodeSnapshot[]): readonly Leaf<Candidate>[] {
    const { resources } = this.#request.requirements;
    return groupIntoLeaves(snapshots, {
      pathOf: ({ node }) => this.#index.pathOf(node.id),
      poolOf: (members) => new LevelQueue(sortedSource(members, this.#candidateFor), resources),
    });
  }
}

/** Returns the factory of the candidates. The candidate of a preferred node that got a task is not created again. */
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
    const existing = preferred.get(id);
    const capacity = existing === undefined ? capacityOf(snapshot, occupiedOn(snapshot)) : existing.capacity;
    if (capacity <= 0) return undefined;
    return existing ?? createCandidate(snapshot, { capacity, serviceTasks: tasksByNode.get(id) ?? 0 });
  };
}

function* snapshotsExcept(
  avoided: ReadonlyMap<string, number>,
  nodes: readonly OrderedNode[],
): Iterable<NodeSnapshot> {
  for (const { id, snapshot } of nodes) {
    if (!avoided.has(id)) yield snapshot;
  }
}

/** Returns the avoided nodes, grouped by their number of failures, the fewest first. */
function avoidedTiers(
  { load }: PlacementRequest,
  { nodes }: ClusterSnapshot,
): readonly (readonly NodeSnapshot[])[] {
  const byFailures = new Map<number, NodeSnapshot[]>();
  for (const [id, failures] of load.avoided) {
    const snapshot = nodes.get(id);
    if (snapshot === undefined) continue;
    const tier = byFailures.get(failures);
    if (tier === undefined) {
      byFailures.set(failures, [snapshot]);
    } else {
      tier.push(snapshot);
    }
  }
  return [...byFailures].sort(([a], [b]) => a - b).map(([, snapshots]) => snapshots);
}
