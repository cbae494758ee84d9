import type { NodeLoad, NodeSnapshot, OrderedNode } from "../model/snapshot.js";
import type { Before } from "./heap.js";
import { computeIdRank, dominantShare, isLessLoaded } from "./load-order.js";
import { mergeSort } from "./merge-sort.js";
import type { ResourceRequest } from "./resource-request.js";
import type { ServiceLoad } from "./service-load.js";
import type { Pool } from "./spread.js";

/** A node with free capacity for a service. Its counts change as tasks are placed on it. */
export interface Candidate extends NodeLoad {
  readonly snapshot: NodeSnapshot;
  /** Number of tasks that still fit. */
  capacity: number;
  /** Tasks of the service on the node, those placed so far included. */
  serviceTasks: number;
  taskCount: number;
  nanoCpus: number;
  memoryBytes: number;
  reservedShare: number;
}

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

/** Yields candidates lazily, the best first. */
export interface CandidateSource {
  /** Undefined when there are no more. */
  next(): Candidate | undefined;
}

/** Returns the node as a candidate. Undefined when it has no capacity. Runs all filters, so it is the expensive step. */
export type CandidateFactory = (snapshot: NodeSnapshot) => Candidate | undefined;

/** Creates and sorts all candidates at once. */
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
  let at = 0;
  return {
    next: () => {
      at += 1;
      return sorted[at - 1];
    },
  };
}

export interface LeastLoadedSourceOptions {
  readonly candidateFor: CandidateFactory;
  readonly load: ServiceLoad;
  /** A lower bound of the tasks of the service that any node has. */
  readonly minTasks: number;
}

/**
 * Yields the nodes of a load order that are not to be avoided, creating each candidate only when its turn comes.
 *
 * Nodes with `minTasks` tasks of the service come first. The nodes skipped on the way are kept by their number of tasks
 * and follow level by level.
 */
export class LeastLoadedSource implements CandidateSource {
  readonly #options: LeastLoadedSourceOptions;
  /** The nodes of the current level, in order of load. At first these are all nodes. */
  #level: readonly OrderedNode[];
  #at = 0;
  /** The skipped nodes, by number of tasks of the service. */
  readonly #skipped = new Map<number, OrderedNode[]>();
  /** The levels still to come, the next one last. Undefined while the first level is scanned. */
  #laterLevels: (readonly OrderedNode[])[] | undefined;

  constructor(order: readonly OrderedNode[], options: LeastLoadedSourceOptions) {
    this.#level = order;
    this.#options = options;
  }

  next(): Candidate | undefined {
    for (;;) {
      const node = this.#level[this.#at];
      this.#at += 1;
      if (node === undefined) {
        if (!this.#advanceLevel()) return undefined;
      } else if (this.#laterLevels !== undefined || this.#isOnFirstLevel(node)) {
        const candidate = this.#options.candidateFor(node.snapshot);
        if (candidate !== undefined) return candidate;
      }
    }
  }

  /** Returns whether the node's turn is now. Keeps the node for a later level when it has more tasks. */
  #isOnFirstLevel(node: OrderedNode): boolean {
    const { load, minTasks } = this.#options;
    if (load.avoided.size > 0 && load.avoided.has(node.id)) return false;
    const count = load.tasksByNode.get(node.id) ?? 0;
    if (count === minTasks) return true;
    const level = this.#skipped.get(count);
    if (level === undefined) this.#skipped.set(count, [node]);
    else level.push(node);
    return false;
  }

  #advanceLevel(): boolean {
    this.#laterLevels ??= [...this.#skipped].sort(([a], [b]) => b - a).map(([, level]) => level);
    const level = this.#laterLevels.pop();
    this.#level = level ?? [];
    this.#at = 0;
    return level !== undefined;
  }
}

/**
 * Yields the best candidate repeatedly while each candidate taken gets one task.
 *
 * The number of tasks of the service decides first. So a candidate that got a task comes up again only after all others
 * of its level got theirs. The candidates of a level are sorted once and taken in turn: about one comparison per task,
 * where a heap needs one per doubling of the nodes. Candidates without new tasks come from the source on demand, so few
 * of them are created when few tasks are placed.
 */
export class LevelQueue implements Pool<Candidate> {
  readonly #request: ResourceRequest;
  readonly #source: CandidateSource;
  /** The next candidate of the source. */
  #fresh: Candidate | undefined;
  #hasFresh = false;
  /** The candidates of the current level, in order. Those before `#at` have been taken. */
  #level: Candidate[] = [];
  #at = 0;
  /** Candidates taken at this level that have capacity left, in the order in which they were taken. */
  #nextLevel: Candidate[] = [];

  constructor(source: CandidateSource, request: ResourceRequest) {
    this.#source = source;
    this.#request = request;
  }

  get best(): Candidate | undefined {
    if (!this.#hasFresh) {
      this.#fresh = this.#source.next();
      this.#hasFresh = true;
    }
    if (this.#at === this.#level.length) this.#advanceLevel();
    const again = this.#level[this.#at];
    const fresh = this.#fresh;
    if (again === undefined || fresh === undefined) return again ?? fresh;
    return isBetterCandidate(again, fresh) ? again : fresh;
  }

  take(): void {
    const chosen = this.best;
    if (chosen === undefined) return;
    if (chosen === this.#fresh) this.#hasFresh = false;
    else this.#at += 1;
    addTask(chosen, this.#request);
    if (chosen.capacity > 0) this.#nextLevel.push(chosen);
  }

  /** Moves on to the next level, unless the source still has a candidate below it. */
  #advanceLevel(): void {
    const [first] = this.#nextLevel;
    const fresh = this.#fresh;
    if (first === undefined || (fresh !== undefined && fresh.serviceTasks < first.serviceTasks)) return;
    this.#level = mergeSort(this.#nextLevel, isBetterCandidate);
    this.#nextLevel = [];
    this.#at = 0;
  }
}
