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

/** Maximum time for which a batch makes decisions without changes, so that they do not block the event loop. */
const MAX_IDLE_BATCH_MS = 10;

export interface WriterObserver {
  onTransaction(outcome: "committed" | "refused" | "unknown", changeCount: number): void;
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
 * decisions never conflict with each other. It writes as many as fit in one fenced transaction. A larger decision is
 * split into several transactions, so it is not atomic. Other code sees changes only after they are in the store. A
 * decision with a transaction that is refused or has an unknown outcome is made again.
 */
export class Writer {
  readonly #options: WriterOptions;
  readonly #committer: Committer;
  readonly #pending: PendingDecision[] = [];
  readonly #decisionAdded = new Notifier();
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
  get waitingCount(): number {
    return this.#pending.length;
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
   *   after the term has ended; the signal's reason when it aborts. A write in flight may then still be committed
   */
  submit<T>(decide: Decide<T>, signal: AbortSignal): Promise<T> {
    if (this.#isStopped) return Promise.reject(notLeaderError({ reason: "its term ended" }));
    const { pending, done } = createPendingDecision(decide, signal);
    this.#pending.push(pending);
    this.#decisionAdded.notifyAll();
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
        if (this.#pending.length === 0) {
          this.#clearBacklog();
          await this.#decisionAdded.wait(signal);
        } else {
          const batch = this.#decideBatch();
          const changes = batch.changes();
          this.#inFlight = this.#write(batch.decisions, changes, signal);
          await this.#inFlight;
          if (needsPause(changes)) await sleep(this.#options.clock, 0, signal);
        }
      }
    } finally {
      this.#isStopped = true;
      for (const decision of this.#pending.splice(0)) decision.fail(signal.reason);
    }
  }

  #clearBacklog(): void {
    if (!this.#hasBacklog) return;
    this.#hasBacklog = false;
    this.#backlogCleared.emit();
  }

  async #write(
    decisions: readonly PendingDecision[],
    changes: readonly EncodedChange[],
    signal: AbortSignal,
  ): Promise<void> {
    try {
      for (const group of groupConcurrent(splitIntoTransactions(changes))) {
        const outcomes = await Promise.all(
          group.map((transaction) => this.#committer.commit(transaction, signal)),
        );
        if (outcomes.every((outcome) => outcome === "committed")) continue;
        this.#retry(decisions, outcomes.includes("refused") ? 1 : 0);
        return;
      }
      for (const decision of decisions) decision.succeed();
    } catch (error) {
      for (const decision of decisions) decision.fail(signal.aborted ? signal.reason : error);
    }
  }

  /** Makes decisions until their changes fill a batch, or until none of them has changed anything for a short time. */
  #decideBatch(): Batch {
    const { state, clock } = this.#options;
    const batch = new Batch();
    let deadlineMs = clock.nowMs() + MAX_IDLE_BATCH_MS;
    state.draft((draft) => {
      while (!batch.isFull && clock.nowMs() <= deadlineMs) {
        const decision = this.#pending.shift();
        if (decision === undefined) return;
        const changes = this.#decide(decision);
        if (changes === undefined) continue;
        if (!batch.add(decision, changes)) {
          this.#pending.unshift(decision);
        } else if (!batch.isFull && changes.length > 0) {
          // Later decisions of this batch have to see the changes. In a full batch there are none.
          draft.write(changes.map(({ change }) => change));
          deadlineMs = clock.nowMs() + MAX_IDLE_BATCH_MS;
        }
      }
    });
    if (batch.isFull && this.#pending.length > 0) this.#hasBacklog = true;
    return batch;
  }

  /** Returns the changes of a decision, or undefined if its caller has cancelled or if it throws. */
  #decide(decision: PendingDecision): readonly EncodedChange[] | undefined {
    if (decision.isSettled()) return undefined;
    try {
      return decision.decide(this.#options.state);
    } catch (error) {
      decision.fail(error);
      return undefined;
    }
  }

  #retry(decisions: readonly PendingDecision[], refusals: number): void {
    for (const decision of [...decisions].reverse()) {
      decision.refusals += refusals;
      if (decision.refusals < MAX_REFUSALS) {
        this.#pending.unshift(decision);
      } else {
        decision.fail(conflictError());
      }
    }
  }
}

/** Decisions that are written together. */
class Batch {
  readonly decisions: PendingDecision[] = [];
  /** Whether a decision did not fit. The batch accepts no further ones. */
  isFull = false;
  /** Two decisions may change the same record. The later one was decided on top of the earlier one and replaces it. */
  readonly #changesByKey = new Map<string, EncodedChange>();
  readonly #budget = new TransactionBudget();

  changes(): readonly EncodedChange[] {
    return [...this.#changesByKey.values()];
  }

  /** Adds a decision. Returns false if it has to wait for another batch. An empty batch accepts a decision of any size. */
  add(decision: PendingDecision, changes: readonly EncodedChange[]): boolean {
    this.isFull = !this.#budget.fits(changes);
    if (this.isFull && this.decisions.length > 0) return false;
    this.decisions.push(decision);
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
interface PendingDecision {
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

function createPendingDecision<T>(
  decide: Decide<T>,
  signal: AbortSignal,
): { readonly pending: PendingDecision; readonly done: Promise<T> } {
  const done = new Deferred<T>();
  let result: { readonly value: T } | undefined;
  let isSettled = false;
  const pending: PendingDecision = {
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
  const removeListener = onAbort(signal, () => pending.fail(signal.reason));
  void done.promise.then(removeListener, removeListener);
  return { pending, done: done.promise };
}

function conflictError(): BerthError {
  return new BerthError({
    code: "BERTH_CONFLICT",
    message: "another program changed the same records in etcd: nothing was written; try again",
  });
}
