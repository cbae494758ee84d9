import { better, type Candidate, fill } from "./candidate.js";
import { dropFirst, heapify } from "./heap.js";
import { mergeSort } from "./merge-sort.js";
import type { Demand } from "./occupancy.js";
import type { Pool } from "./spread-tree.js";

/**
 * Gives the best candidate again and again while each one chosen takes a task. What comes first is the number of
 * tasks of the service, so whoever took one waits until all others of its level have: the candidates of a level are
 * sorted once and then taken in turn, which costs about a comparison a task where a heap costs one for each doubling
 * of the nodes. Only those that have taken nothing yet are in a heap: most never are looked at when tasks are few.
 */
export class LevelQueue implements Pool<Candidate> {
  readonly #demand: Demand;
  /** Took no task yet and are not in the level; a heap. */
  readonly #fresh: Candidate[];
  /** The level, in order; those before `#at` took one at it. */
  #level: Candidate[] = [];
  #at = 0;
  /** Took one at this level and have room for more, in the order in which they took it. */
  #next: Candidate[] = [];

  /** `count`: how many tasks there are at most. With fewer than candidates, most of these are never looked at. */
  constructor(
    candidates: Candidate[],
    { demand, count }: { readonly demand: Demand; readonly count: number },
  ) {
    this.#demand = demand;
    if (count < candidates.length) {
      this.#fresh = candidates;
      heapify(this.#fresh, better);
    } else {
      const sorted = mergeSort(candidates, better);
      const lowest = sorted[0]?.staying;
      const above = sorted.findIndex(({ staying }) => staying !== lowest);
      this.#level = above < 0 ? sorted : sorted.slice(0, above);
      // In order, which is a heap as well.
      this.#fresh = above < 0 ? [] : sorted.slice(above);
    }
  }

  get best(): Candidate | undefined {
    const again = this.#level[this.#at];
    const fresh = this.#fresh[0];
    if (again === undefined || fresh === undefined) return again ?? fresh;
    return better(again, fresh) ? again : fresh;
  }

  take(): void {
    const chosen = this.best;
    if (chosen === undefined) return;
    if (chosen === this.#level[this.#at]) this.#at += 1;
    else dropFirst(this.#fresh, better);
    fill(chosen, this.#demand);
    if (chosen.room > 0) this.#next.push(chosen);
    if (this.#at === this.#level.length) this.#rise();
  }

  /** Goes to the next level once no fresh candidate is left below it. */
  #rise(): void {
    const [waiting] = this.#next;
    const fresh = this.#fresh[0];
    if (waiting === undefined || (fresh !== undefined && fresh.staying < waiting.staying)) return;
    this.#level = mergeSort(this.#next, better);
    this.#next = [];
    this.#at = 0;
  }
}
