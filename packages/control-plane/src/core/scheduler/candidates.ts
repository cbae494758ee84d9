import type { NodeSnapshot } from "../model/snapshot.js";
import type { Before } from "./heap.js";
import { dominantShare, idRankOf, isLessLoaded, type NodeLoad, type OrderedNode } from "./load-order.js";
import { mergeSort } from "./merge-sort.js";
import type { ServiceLoad } from "./place.js";
import type { ResourceRequest } from "./resource-request.js";
import type { Pool } from "./spread.js";

/** Gives candidates one after the other, the best first. None of them has to be known before it is asked for. */
export interface CandidateSource {
  /** Undefined when there are no more. */
  next(): Candidate | undefined;
}

/** What a node is as a candidate; undefined when it has no room. This asks the filters, so it is what costs. */
export type CandidateFactory = (view: NodeSnapshot) => Candidate | undefined;

/** Candidates that are asked for at once and sorted. */
export function sortedSource(views: Iterable<NodeSnapshot>, ask: CandidateFactory): CandidateSource {
  const candidates: Candidate[] = [];
  for (const view of views) {
    const candidate = ask(view);
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

/**
 * Nodes that nothing speaks against, from their order of load. First those with the fewest tasks of the service; the others
 * met on the way are put aside by the number of tasks they have, and their turn comes level by level.
 */
export class LeastLoadedSource implements CandidateSource {
  readonly #ask: CandidateFactory;
  readonly #load: ServiceLoad;
  readonly #least: number;
  /** Those of one level are in order of load; first it is all nodes. */
  #level: readonly OrderedNode[];
  #at = 0;
  /** Put aside, by the number of tasks of the service. */
  readonly #aside = new Map<number, OrderedNode[]>();
  /** The levels still to come, the next one last; undefined as long as there may be nodes with the fewest. */
  #later: (readonly OrderedNode[])[] | undefined;

  /** `least`: none of the nodes has fewer tasks of the service. */
  constructor(
    order: readonly OrderedNode[],
    {
      ask,
      load,
      least,
    }: { readonly ask: CandidateFactory; readonly load: ServiceLoad; readonly least: number },
  ) {
    this.#level = order;
    this.#ask = ask;
    this.#load = load;
    this.#least = least;
  }

  next(): Candidate | undefined {
    for (;;) {
      const weighed = this.#level[this.#at];
      this.#at += 1;
      if (weighed === undefined) {
        if (!this.#turnToNextLevel()) return undefined;
      } else if (this.#later !== undefined || this.#isFirst(weighed)) {
        const candidate = this.#ask(weighed.view);
        if (candidate !== undefined) return candidate;
      }
    }
  }

  #isFirst(weighed: OrderedNode): boolean {
    const { avoided: avoid, tasksByNode: staying } = this.#load;
    if (avoid.size > 0 && avoid.has(weighed.id)) return false;
    const count = staying.get(weighed.id) ?? 0;
    if (count === this.#least) return true;
    const level = this.#aside.get(count);
    if (level === undefined) this.#aside.set(count, [weighed]);
    else level.push(weighed);
    return false;
  }

  #turnToNextLevel(): boolean {
    this.#later ??= [...this.#aside].sort(([a], [b]) => b - a).map(([, level]) => level);
    const level = this.#later.pop();
    this.#level = level ?? [];
    this.#at = 0;
    return level !== undefined;
  }
}

/** A node that still has room, with what the choice among nodes depends on. Changes as it is filled. */
export interface Candidate extends NodeLoad {
  readonly view: NodeSnapshot;
  /** How many more tasks it takes. */
  capacity: number;
  /** Tasks of the service that will be on it. */
  serviceTasks: number;
  tasks: number;
  nanoCpus: number;
  memoryBytes: number;
  share: number;
}

export function candidateOf(
  view: NodeSnapshot,
  { room, staying }: { readonly room: number; readonly staying: number },
): Candidate {
  const { nanoCpus, memoryBytes } = view.reserved;
  return {
    id: view.node.id,
    idRank: idRankOf(view.node.id),
    view,
    capacity: room,
    serviceTasks: staying,
    tasks: view.taskCount,
    nanoCpus,
    memoryBytes,
    share: dominantShare(view, nanoCpus, memoryBytes),
  };
}

/** Makes the candidate what it is with one task more. */
export function addTask(chosen: Candidate, demand: ResourceRequest): void {
  chosen.capacity -= 1;
  chosen.serviceTasks += 1;
  chosen.tasks += 1;
  if (demand.nanoCpus === 0 && demand.memoryBytes === 0) return;
  chosen.nanoCpus += demand.nanoCpus;
  chosen.memoryBytes += demand.memoryBytes;
  chosen.share = dominantShare(chosen.view, chosen.nanoCpus, chosen.memoryBytes);
}

/** Fewest tasks of the service, then the lightest. */
export const isBetterCandidate: Before<Candidate> = (a, b) =>
  a.serviceTasks !== b.serviceTasks ? a.serviceTasks < b.serviceTasks : isLessLoaded(a, b);

/**
 * Gives the best candidate again and again while each one chosen takes a task. What comes first is the number of
 * tasks of the service, so whoever took one waits until all others of its level have: the candidates of a level are
 * sorted once and then taken in turn, which costs about a comparison a task where a heap costs one for each doubling
 * of the nodes. Those that have taken nothing yet come from the source when their turn comes: most never are looked
 * at when tasks are few.
 */
export class LevelQueue implements Pool<Candidate> {
  readonly #demand: ResourceRequest;
  readonly #source: CandidateSource;
  /** The next of the source. */
  #fresh: Candidate | undefined;
  #hasFresh = false;
  /** The level, in order; those before `#at` took one at it. */
  #level: Candidate[] = [];
  #at = 0;
  /** Took one at this level and have room for more, in the order in which they took it. */
  #next: Candidate[] = [];

  constructor(source: CandidateSource, demand: ResourceRequest) {
    this.#source = source;
    this.#demand = demand;
  }

  get best(): Candidate | undefined {
    if (!this.#hasFresh) {
      this.#fresh = this.#source.next();
      this.#hasFresh = true;
    }
    if (this.#at === this.#level.length) this.#rise();
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
    addTask(chosen, this.#demand);
    if (chosen.capacity > 0) this.#next.push(chosen);
  }

  /** Goes to the next level once no fresh candidate is left below it. */
  #rise(): void {
    const [waiting] = this.#next;
    const fresh = this.#fresh;
    if (waiting === undefined || (fresh !== undefined && fresh.serviceTasks < waiting.serviceTasks)) return;
    this.#level = mergeSort(this.#next, isBetterCandidate);
    this.#next = [];
    this.#at = 0;
  }
}
