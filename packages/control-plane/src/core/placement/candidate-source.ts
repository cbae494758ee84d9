import type { NodeView } from "../model.js";
import { better, type Candidate } from "./candidate.js";
import type { Weighed } from "./load-order.js";
import { mergeSort } from "./merge-sort.js";
import type { ServiceLoad } from "./schedule.js";

/** Gives candidates one after the other, the best first. None of them has to be known before it is asked for. */
export interface CandidateSource {
  /** Undefined when there are no more. */
  next(): Candidate | undefined;
}

/** What a node is as a candidate; undefined when it has no room. This asks the filters, so it is what costs. */
export type Ask = (view: NodeView) => Candidate | undefined;

/** Candidates that are asked for at once and sorted. */
export function sortedSource(views: Iterable<NodeView>, ask: Ask): CandidateSource {
  const candidates: Candidate[] = [];
  for (const view of views) {
    const candidate = ask(view);
    if (candidate !== undefined) candidates.push(candidate);
  }
  const sorted = mergeSort(candidates, better);
  let at = 0;
  return {
    next: () => {
      at += 1;
      return sorted[at - 1];
    },
  };
}

/**
 * Nodes that nothing speaks against, from their order of load. First those without a task of the service; the others
 * met on the way are put aside by the number of tasks they have, and their turn comes level by level.
 */
export class LightestFirst implements CandidateSource {
  readonly #ask: Ask;
  readonly #load: ServiceLoad;
  #order: readonly Weighed[];
  #at = 0;
  /** By the number of tasks of the service; undefined once these are what is left. */
  #later: Map<number, Weighed[]> | undefined = new Map();

  constructor(order: readonly Weighed[], { ask, load }: { readonly ask: Ask; readonly load: ServiceLoad }) {
    this.#order = order;
    this.#ask = ask;
    this.#load = load;
  }

  next(): Candidate | undefined {
    for (let view = this.#nextView(); view !== undefined; view = this.#nextView()) {
      const candidate = this.#ask(view);
      if (candidate !== undefined) return candidate;
    }
    return undefined;
  }

  #nextView(): NodeView | undefined {
    while (this.#later !== undefined) {
      const weighed = this.#order[this.#at];
      if (weighed === undefined) {
        this.#order = levelByLevel(this.#later);
        this.#at = 0;
        this.#later = undefined;
      } else {
        this.#at += 1;
        if (this.#isFirst(weighed, this.#later)) return weighed.view;
      }
    }
    this.#at += 1;
    return this.#order[this.#at - 1]?.view;
  }

  #isFirst(weighed: Weighed, later: Map<number, Weighed[]>): boolean {
    const { avoid, staying } = this.#load;
    if (avoid.has(weighed.id)) return false;
    const count = staying.get(weighed.id) ?? 0;
    if (count === 0) return true;
    const others = later.get(count);
    if (others === undefined) later.set(count, [weighed]);
    else others.push(weighed);
    return false;
  }
}

const levelByLevel = (levels: ReadonlyMap<number, readonly Weighed[]>): readonly Weighed[] =>
  [...levels].sort(([a], [b]) => a - b).flatMap(([, level]) => level);
