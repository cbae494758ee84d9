import { BerthError } from "@berth/proto";
import type { Logger } from "pino";
import { onAbort } from "../runtime/abort.js";
import { type Clock, sleep } from "../runtime/clock.js";
import { Deferred } from "../runtime/deferred.js";
import { Emitter } from "../runtime/emitter.js";
import { notLeaderError } from "../runtime/leader-errors.js";
import { Notifier } from "../runtime/notifier.js";
import type { Change } from "../state/change.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { Compare, Store } from "../store/store.js";
import { Committer } from "./committer.js";
import {
  type EncodedChange,
  encodeChange,
  groupConcurrent,
  isTaskChange,
  splitIntoTransactions,
  TransactionBudget,
} from "./transaction.js";

/** Number of refusals after which a decision fails, because another program keeps writing the same records. */
const MAX_REFUSALS = 5;

/** Maximum duration of a batch of decisions without changes, so that they do not block other work. */
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
 * The only writer of a term. It makes decisions one after another, each on a state that includes all earlier ones, so
 * decisions never conflict with each other. It writes as many as fit in one fenced transaction. Other code sees changes
 * only after they are in the store. A decision whose transaction is refused or has an unknown outcome is made again.
 */
export class Writer {
  readonly #options: WriterOptions;
  readonly #committer: Committer;
  readonly #jobs: WriteJob[] = [];
  readonly #jobAdded = new Notifier();
  readonly #backlogCleared: Emitter;
  #inFlight: Promise<void> = Promise.resolve();
  #hasBacklog = false;
  #isStopped = false;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#committer = new Committer(options);
    this.#backlogCleared = new Emitter((error) =>
      options.logger.error({ err: error }, "backlog listener failed"),
    );
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
   *
   * @throws what `decide` throws; BERTH_CONFLICT when another program keeps changing the records; BERTH_NOT_LEADER
   *   after the term has ended; the signal's reason when it aborts: a write in flight may still be committed then
   */
  submit<T>(decide: Decide<T>, signal: AbortSignal): Promise<T> {
    if (this.#isStopped) return Promise.reject(notLeaderError({ reason: "its term ended" }));
    const { job, done } = createJob(decide, signal);
    this.#jobs.push(job);
    this.#jobAdded.notifyAll();
    return done;
  }

  /** Resolves when no transaction is in flight. The state then includes all of this writer's changes. */
  untilIdle(): Promise<void> {
    return this.#inFlight;
  }

  /**
   * Writes until `signal` is aborted. The remaining decisions then fail with its reason, and later ones are rejected.
   */
  async run(signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) {
        if (this.#jobs.length === 0) {
          this.#clearBacklog();
          await this.#jobAdded.wait(signal);
        } else {
          const batch = this.#decideBatch();
          const changes = batch.changes();
          this.#inFlight = this.#write(batch.jobs, changes, signal);
          await this.#inFlight;
          if (needsPause(changes)) await sleep(this.#options.clock, 0, signal);
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

  async #write(
    jobs: readonly WriteJob[],
    changes: readonly EncodedChange[],
    signal: AbortSignal,
  ): Promise<void> {
    try {
      for (const group of groupConcurrent(splitIntoTransactions(changes))) {
        const outcomes = await Promise.all(
          group.map((transaction) => this.#committer.commit(transaction, signal)),
        );
        if (outcomes.every((outcome) => outcome === "committed")) continue;
        this.#retry(jobs, outcomes.includes("refused") ? 1 : 0);
        return;
      }
      for (const job of jobs) job.succeed();
    } catch (error) {
      for (const job of jobs) job.fail(signal.aborted ? signal.reason : error);
    }
  }

  /** Makes decisions until their changes fill a batch, or for a short time if they change nothing. */
  #decideBatch(): Batch {
    const { state, clock } = this.#options;
    const batch = new Batch();
    const deadlineMs = clock.nowMs() + MAX_BATCH_MS;
    state.draft((draft) => {
      while (!batch.isFull && (batch.hasChanges || clock.nowMs() <= deadlineMs)) {
        const job = this.#jobs.shift();
        if (job === undefined) return;
        const changes = this.#decide(job);
        if (changes === undefined) continue;
        if (!batch.add(job, changes)) {
          this.#jobs.unshift(job);
        }
        // In a full batch, no further decision has to see these changes.
        else if (!batch.isFull) {
          draft.write(changes.map(({ change }) => change));
        }
      }
    });
    if (batch.isFull && this.#jobs.length > 0) this.#hasBacklog = true;
    return batch;
  }

  /** Returns the changes of a decision. Returns undefined if its caller has left or if it throws. */
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
      if (job.refusals < MAX_REFUSALS) {
        this.#jobs.unshift(job);
      } else {
        job.fail(conflictError());
      }
    }
  }
}

/** Decisions that are written together. */
class Batch {
  readonly jobs: WriteJob[] = [];
  /** Whether a decision did not fit. The batch accepts no further ones. */
  isFull = false;
  /** Two decisions may change the same record. The later change replaces the earlier one, which it includes. */
  readonly #changesByKey = new Map<string, EncodedChange>();
  readonly #budget = new TransactionBudget();

  get hasChanges(): boolean {
    return this.#changesByKey.size > 0;
  }

  changes(): readonly EncodedChange[] {
    return [...this.#changesByKey.values()];
  }

  /** Adds a decision. Returns false if it has to wait for another batch. An empty batch accepts a decision of any size. */
  add(job: WriteJob, changes: readonly EncodedChange[]): boolean {
    this.isFull = !this.#budget.fits(changes);
    if (this.isFull && this.jobs.length > 0) return false;
    this.jobs.push(job);
    this.#budget.add(changes);
    for (const change of changes) this.#changesByKey.set(change.key, change);
    return true;
  }
}

/**
 * Returns whether to yield to other work before the next batch: after changes of tasks, agents get their assignments,
 * and decisions without changes must not block the event loop. Other batches follow at once, for example when a
 * thousand nodes register.
 */
function needsPause(changes: readonly EncodedChange[]): boolean {
  return changes.length === 0 || changes.some(isTaskChange);
}

/** A decision that waits to be made and written. */
interface WriteJob {
  /** Decides and keeps the result for `succeed`. */
  decide(state: ClusterState): readonly EncodedChange[];
  /** Resolves the caller's promise: the changes are in the store. */
  succeed(): void;
  fail(error: unknown): void;
  /** Returns whether the caller's promise is already settled, for example because its signal aborted. */
  isSettled(): boolean;
  /** Number of times that the store has refused the changes. */
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

function conflictError(): BerthError {
  return new BerthError({
    code: "BERTH_CONFLICT",
    message: "another program changed the same records in etcd: nothing was written; try again",
  });
}
