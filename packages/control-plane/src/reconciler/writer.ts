import { BerthError } from "@berth/proto";
import type { Logger } from "pino";
import { onAbort } from "../runtime/abort.js";
import { type Clock, sleep } from "../runtime/clock.js";
import { Deferred } from "../runtime/deferred.js";
import { Emitter } from "../runtime/emitter.js";
import { notLeader } from "../runtime/leader-errors.js";
import { Notifier } from "../runtime/notifier.js";
import type { Change } from "../state/change.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { Compare, Store } from "../store/store.js";
import {
  Committer,
  type EncodedChange,
  encodeChange,
  groupConcurrent,
  isTaskChange,
  splitIntoTransactions,
  TransactionBudget,
} from "./transaction.js";

/** A decision that is refused this often fails: another program keeps writing the same records. */
const MAX_REFUSALS = 5;

/** Decisions without changes are made in batches of at most this duration, so that they do not block other work. */
const MAX_BATCH_MS = 10;

export interface WriterObserver {
  onTransaction(outcome: "committed" | "refused" | "unknown", changes: number): void;
}

export interface WriterOptions {
  readonly store: Store;
  readonly state: ClusterState;
  readonly fence: Compare;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly observer: WriterObserver;
}

/** The changes of a decision, and the result to return once they are in the store. */
export interface Decision<T> {
  readonly changes: readonly Change[];
  readonly result: T;
}

/** Makes a decision on the current state. Called again after a conflict. Throws to reject the request. */
export type Decide<T> = (state: ClusterState) => Decision<T>;

/**
 * The only writer of a term. It makes decisions one after the other, each on a state that includes all earlier ones, so
 * decisions never conflict with each other. It writes as many as fit in one fenced transaction. Other code sees changes
 * only after they are in the store. A decision whose transaction is refused or has no known outcome is made again.
 */
export class Writer {
  readonly #options: WriterOptions;
  readonly #committer: Committer;
  readonly #jobs: WriteJob[] = [];
  readonly #jobAdded = new Notifier();
  readonly #backlogCleared = new Emitter();
  #inFlight: Promise<void> = Promise.resolve();
  #hasBacklog = false;
  #isStopped = false;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#committer = new Committer(options);
  }

  /** Number of waiting decisions. */
  get depth(): number {
    return this.#jobs.length;
  }

  /** Whether more decisions are waiting than fit into the last transaction. */
  get hasBacklog(): boolean {
    return this.#hasBacklog;
  }

  /** Calls `listener` each time a backlog has been written. The returned function removes the listener. */
  onBacklogCleared(listener: () => void): () => void {
    return this.#backlogCleared.on(listener);
  }

  /**
   * Returns the decision's result after all of its changes are in the store.
   * @throws what `decide` throws; BERTH_CONFLICT when another program keeps changing the records;
   *         BERTH_NOT_LEADER after the term has ended; the signal's reason when it aborts: a write in flight may still
   *         be committed then
   */
  submit<T>(decide: Decide<T>, signal: AbortSignal): Promise<T> {
    if (this.#isStopped) return Promise.reject(notLeader({ reason: "its term ended" }));
    const { job, done } = createJob(decide, signal);
    this.#jobs.push(job);
    this.#jobAdded.notifyAll();
    return done;
  }

  /** Resolves when no transaction is in flight. The state then includes all of this writer's changes. */
  untilIdle(): Promise<void> {
    return this.#inFlight;
  }

  /** Writes until `signal` aborts. The remaining decisions then fail with its reason, and later ones are rejected. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) {
        if (this.#jobs.length === 0) {
          this.#clearBacklog();
          await this.#jobAdded.wait(signal);
        } else {
          const batch = this.#decideBatch();
          this.#inFlight = this.#write(batch, signal);
          await this.#inFlight;
          if (needsPause(batch)) await sleep(this.#options.clock, 0, signal);
        }
      }
    } finally {
      this.#isStopped = true;
      for (const job of this.#jobs.splice(0)) job.fail(signal.reason);
    }
  }

  #clearBacklog(): void {
    if (!this.#hasBacklog) return;
    this.#hasBacklog = false;
    this.#backlogCleared.emit();
  }

  async #write({ jobs, changes }: Batch, signal: AbortSignal): Promise<void> {
    try {
      for (const group of groupConcurrent(splitIntoTransactions(changes))) {
        const outcomes = await Promise.all(group.map((part) => this.#committer.commit(part, signal)));
        if (outcomes.every((outcome) => outcome === "committed")) continue;
        this.#retry(jobs, outcomes.includes("refused") ? 1 : 0);
        return;
      }
      for (const job of jobs) job.succeed();
    } catch (error) {
      for (const job of jobs) job.fail(signal.aborted ? signal.reason : error);
    }
  }

  /** Makes decisions until their changes fill the budget. A decision that exceeds it is written alone. */
  #decideBatch(): Batch {
    const jobs: WriteJob[] = [];
    const changes: EncodedChange[] = [];
    const budget = new TransactionBudget();
    const { state, clock } = this.#options;
    const startedMs = clock.nowMs();
    state.draft((draft) => {
      for (let job = this.#jobs.shift(); job !== undefined; job = this.#jobs.shift()) {
        const decided = this.#decide(job);
        if (decided === undefined) continue;
        const isFull = !budget.fits(decided);
        if (isFull && jobs.length > 0) {
          this.#jobs.unshift(job);
          this.#hasBacklog = true;
          return;
        }
        jobs.push(job);
        for (const change of decided) changes.push(change);
        budget.add(decided);
        if (isFull) {
          this.#hasBacklog ||= this.#jobs.length > 0;
          return;
        }
        draft.write(decided.map(({ change }) => change));
        if (changes.length === 0 && clock.nowMs() - startedMs > MAX_BATCH_MS) return;
      }
    });
    return { jobs, changes: lastOfEachKey(changes) };
  }

  #decide(job: WriteJob): readonly EncodedChange[] | undefined {
    if (job.isSettled()) return undefined;
    try {
      return job.decide(this.#options.state);
    } catch (error) {
      job.fail(error);
      return undefined;
    }
  }

  #retry(jobs: readonly WriteJob[], refusals: number): void {
    for (const job of [...jobs].reverse()) {
      job.refusals += refusals;
      if (job.refusals < MAX_REFUSALS) this.#jobs.unshift(job);
      else job.fail(conflict());
    }
  }
}

/** Decisions that are written together. */
interface Batch {
  readonly jobs: readonly WriteJob[];
  readonly changes: readonly EncodedChange[];
}

/**
 * After changes of tasks, agents get their assignments before the next decisions are made. After decisions without
 * changes, other work gets a turn. All other batches follow each other at once, such as a thousand registering nodes.
 */
const needsPause = ({ changes }: Batch): boolean => changes.length === 0 || changes.some(isTaskChange);

/** Two decisions of one draft may change the same record. The later one already includes the earlier. */
function lastOfEachKey(changes: readonly EncodedChange[]): readonly EncodedChange[] {
  return [...new Map(changes.map((change) => [change.key, change])).values()];
}

/** A decision that waits to be made and written. */
interface WriteJob {
  /** Decides and keeps the result for `succeed`. */
  decide(state: ClusterState): readonly EncodedChange[];
  /** Resolves the caller's promise: the changes are in the store. */
  succeed(): void;
  fail(error: unknown): void;
  /** Whether the caller's promise is settled already, for example because its signal aborted. */
  isSettled(): boolean;
  /** How often the store has refused the changes. */
  refusals: number;
}

function createJob<T>(
  decide: Decide<T>,
  signal: AbortSignal,
): { readonly job: WriteJob; readonly done: Promise<T> } {
  const done = new Deferred<T>();
  let result: { readonly value: T } | undefined;
  let isSettled = false;
  const job: WriteJob = {
    refusals: 0,
    decide: (state) => {
      const decision = decide(state);
      result = { value: decision.result };
      return decision.changes.map(encodeChange);
    },
    succeed: () => {
      isSettled = true;
      if (result !== undefined) done.resolve(result.value);
    },
    fail: (error) => {
      isSettled = true;
      done.reject(error);
    },
    isSettled: () => isSettled,
  };
  const removeListener = onAbort(signal, () => job.fail(signal.reason));
  void done.promise.then(removeListener, removeListener);
  return { job, done: done.promise };
}

function conflict(): BerthError {
  return new BerthError({
    code: "BERTH_CONFLICT",
    message: "another program changed the same records in etcd: nothing was written: try again",
  });
}
