import type { NodeLoad, NodeSnapshot, OrderedNode } from "../model/snapshot.js";
import type { Before } from "./heap.js";
import { computeIdRank, dominantShare, isLessLoaded } from "./load-order.js";
import { mergeSort } from "./merge-sort.js";
import type { ResourceRequest } from "./resource-request.js";
import type { ServiceLoad } from "./service-load.js";

/** A node with free capacity for a service. Its counts change as placement puts tasks on it. */
export interface Candidate extends NodeLoad {
  readonly snapshot: NodeSnapshot;
  /** Number of tasks that still fit. */
  capacity: number;
  /** Tasks of the service on the node, including tasks placed so far. */
  serviceTasks: number;
  taskCount: number;
  nanoCpus: number;
  memoryBytes: number;
  reservedShare: number;
}

/** Returns a node as a candidate, with the load of its snapshot. */
export function createCandidate(
  snapshot: NodeSnapshot,
  { capacity, serviceTasks }: Pick<Candidate, "capacity" | "serviceTasks">,
): Candidate {
  const { nanoCpus, memoryBytes } = snapshot.reserved;
  return {
    id: snapshot.node.id,
    idRank: computeIdRank(snapshot.node.id),
    snapshot,
    capacity,
    serviceTasks,
    taskCount: snapshot.taskCount,
    nanoCpus,
    memoryBytes,
    reservedShare: dominantShare(snapshot, nanoCpus, memoryBytes),
  };
}

/** Counts one more task on the candidate. */
export function addTask(candidate: Candidate, request: ResourceRequest): void {
  candidate.capacity -= 1;
  candidate.serviceTasks += 1;
  candidate.taskCount += 1;
  if (request.nanoCpus === 0 && request.memoryBytes === 0) return;
  candidate.nanoCpus += request.nanoCpus;
  candidate.memoryBytes += request.memoryBytes;
  candidate.reservedShare = dominantShare(candidate.snapshot, candidate.nanoCpus, candidate.memoryBytes);
}

/** Orders candidates by number of tasks of the service, then by load. */
export const isBetterCandidate: Before<Candidate> = (a, b) =>
  a.serviceTasks !== b.serviceTasks ? a.serviceTasks < b.serviceTasks : isLessLoaded(a, b);

/** Yields candidates, the best first. */
export interface CandidateSource {
  /** Returns the next candidate, or undefined if there are no more. */
  next(): Candidate | undefined;
}

/** Creates the candidate of a node. Returns undefined if it has no capacity. Expensive, because it runs all filters. */
export type CandidateFactory = (snapshot: NodeSnapshot) => Candidate | undefined;

/** Returns a source that creates and sorts all candidates at once. */
export function sortedSource(
  snapshots: Iterable<NodeSnapshot>,
  candidateFor: CandidateFactory,
): CandidateSource {
  const candidates: Candidate[] = [];
  for (const snapshot of snapshots) {
    const candidate = candidateFor(snapshot);
    if (candidate !== undefined) candidates.push(candidate);
  }
  const sorted = mergeSort(candidates, isBetterCandidate);
  let nextIndex = 0;
  return {
    next: () => {
      const candidate = sorted[nextIndex];
      nextIndex += 1;
      return candidate;
    },
  };
}

export interface LeastLoadedSourceOptions {
  readonly candidateFor: CandidateFactory;
  readonly load: ServiceLoad;
  /** Lower bound of the number of tasks of the service on any node. */
  readonly minTasks: number;
}

/**
 * Yields the nodes of a load order that placement need not avoid. Creates each candidate only when it is requested.
 *
 * Nodes with `minTasks` tasks of the service come first. Nodes with more tasks are set aside and follow in the order of
 * their number of tasks (their **level**).
 */
export class LeastLoadedSource implements CandidateSource {
  readonly #options: LeastLoadedSourceOptions;
  /** The nodes of the current level, in order of load. At first these are all nodes. */
  #level: readonly OrderedNode[];
  #index = 0;
  /** The nodes set aside, by number of tasks of the service. */
  readonly #skipped = new Map<number, OrderedNode[]>();
  /** The levels still to come, the next one last. Undefined while the first level is scanned. */
  #laterLevels: (readonly OrderedNode[])[] | undefined;

  constructor(order: readonly OrderedNode[], options: LeastLoadedSourceOptions) {
    this.#level = order;
    this.#options = options;
  }

  next(): Candidate | undefined {
    for (;;) {
      const node = this.#level[this.#index];
      this.#index += 1;
      if (node === undefined) {
        if (!this.#advanceLevel()) return undefined;
      } else if (this.#laterLevels !== undefined || this.#takeOrSkip(node)) {
        const candidate = this.#options.candidateFor(node.snapshot);
        if (candidate !== undefined) return candidate;
      }
    }
  }

  /** Returns whether the node is on the first level. Sets it aside for a later level when it has more tasks. */
  #takeOrSkip(node: OrderedNode): boolean {
    const { load, minTasks } = this.#options;
    if (load.avoided.size > 0 && load.avoided.has(node.id)) return false;
    const count = load.tasksByNode.get(node.id) ?? 0;
    if (count === minTasks) return true;
    const level = this.#skipped.get(count);
    if (level === undefined) {
      this.#skipped.set(count, [node]);
    } else {
      level.push(node);
    }
    return false;
  }

  /** Starts the next level. Returns false when there is none. */
  #advanceLevel(): boolean {
    this.#laterLevels ??= [...this.#skipped].sort(([a], [b]) => b - a).map(([, level]) => level);
    const level = this.#laterLevels.pop();
    this.#level = level ?? [];
    this.#index = 0;
    return level !== undefined;
  }
}
