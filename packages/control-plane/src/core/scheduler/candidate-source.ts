import type { NodeView } from "../model.js";
import { type Candidate, isBetterCandidate } from "./candidate.js";
import type { OrderedNode } from "./load-order.js";
import { mergeSort } from "./merge-sort.js";
import type { ServiceLoad } from "./schedule.js";

/** Gives candidates one after the other, the best first. None of them has to be known before it is asked for. */
export interface CandidateSource {
  /** Undefined when there are no more. */
  next(): Candidate | undefined;
}

/** What a node is as a candidate; undefined when it has no room. This asks the filters, so it is what costs. */
export type CandidateFactory = (view: NodeView) => Candidate | undefined;

/** Candidates that are asked for at once and sorted. */
export function sortedSource(views: Iterable<NodeView>, ask: CandidateFactory): CandidateSource {
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
