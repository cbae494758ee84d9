import { better, type Candidate, fill } from "./candidate.js";
import { type Before, dropFirst, heapify } from "./heap.js";
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
  /** Took no task yet; a heap. */
  readonly #fresh: Candidate[];
  /** Took one before, in order, those before `#at` again at this level. */
  #level: Candidate[] = [];
  #at = 0;
  /** Took one at this level and have room for more, in the order in which they took it. */
  #next: Candidate[] = [];

  constructor(candidates: Candidate[], demand: Demand) {
    this.#demand = demand;
    this.#fresh = candidates;
    heapify(this.#fresh, better);
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
    this.#level = this.#next.sort(byBetter);
    this.#next = [];
    this.#at = 0;
  }
}

const inOrder =
  <T>(before: Before<T>) =>
  (a: T, b: T): number =>
    before(a, b) ? -1 : 1;

const byBetter = inOrder(better);
