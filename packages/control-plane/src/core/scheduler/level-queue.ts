import { addTask, type Candidate, isBetterCandidate } from "./candidate.js";
import type { CandidateSource } from "./candidate-source.js";
import { mergeSort } from "./merge-sort.js";
import type { ResourceRequest } from "./occupancy.js";
import type { Pool } from "./spread-tree.js";

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
