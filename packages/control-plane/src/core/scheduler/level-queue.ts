import { addTask, type Candidate, type CandidateSource, isBetterCandidate } from "./candidates.js";
import { mergeSort } from "./merge-sort.js";
import type { ResourceRequest } from "./resource-request.js";
import type { Pool } from "./spread-tree.js";

/**
 * Yields the best candidate repeatedly. Each take places one task on it.
 *
 * A **level** is the set of candidates with the same number of tasks of the service. This number is compared first, so a
 * candidate that got a task moves to the next level. Each level is sorted once and its candidates are taken in turn.
 * That costs about one comparison per task; a heap costs one per doubling of the number of nodes. Candidates without new
 * tasks come from the source on demand, so few are created when few tasks are placed.
 */
export class LevelQueue implements Pool<Candidate> {
  readonly #request: ResourceRequest;
  readonly #source: CandidateSource;
  /** The next candidate of the source, once it has been read. */
  #sourceBest: Candidate | undefined;
  #hasSourceBest = false;
  /** The candidates of the current level, in order. Those before `#index` have been taken. */
  #level: Candidate[] = [];
  #index = 0;
  /** Candidates taken at this level that have capacity left, in the order in which they were taken. */
  #nextLevel: Candidate[] = [];

  constructor(source: CandidateSource, request: ResourceRequest) {
    this.#source = source;
    this.#request = request;
  }

  get best(): Candidate | undefined {
    if (!this.#hasSourceBest) {
      this.#sourceBest = this.#source.next();
      this.#hasSourceBest = true;
    }
    if (this.#index === this.#level.length) this.#advanceLevel();
    const levelBest = this.#level[this.#index];
    const sourceBest = this.#sourceBest;
    if (levelBest === undefined || sourceBest === undefined) return levelBest ?? sourceBest;
    return isBetterCandidate(levelBest, sourceBest) ? levelBest : sourceBest;
  }

  take(): void {
    const chosen = this.best;
    if (chosen === undefined) return;
    if (chosen === this.#sourceBest) {
      this.#hasSourceBest = false;
    } else {
      this.#index += 1;
    }
    addTask(chosen, this.#request);
    if (chosen.capacity > 0) this.#nextLevel.push(chosen);
  }

  /** Starts the next level, unless the source still has a candidate with fewer tasks. */
  #advanceLevel(): void {
    const [first] = this.#nextLevel;
    const sourceBest = this.#sourceBest;
    if (first === undefined) return;
    if (sourceBest !== undefined && sourceBest.serviceTasks < first.serviceTasks) return;
    this.#level = mergeSort(this.#nextLevel, isBetterCandidate);
    this.#nextLevel = [];
    this.#index = 0;
  }
}
