import { assertNever, BerthError } from "@berth/proto";
import type { Logger } from "pino";
import { onAbort } from "../runtime/abort.js";
import { type Clock, sleep } from "../runtime/clock.js";
import type { Change } from "../state/change.js";
import type { ClusterState } from "../state/cluster-state.js";
import { applyEntries } from "../state/state-sync.js";
import type { Compare, Entry, OpResult, Store, TxnOutcome } from "../store/store.js";
import {
  type EncodedChange,
  encodeChange,
  groupConcurrent,
  isTaskChange,
  readBack,
  splitIntoTransactions,
  TransactionBudget,
  toTxn,
} from "./transaction.js";

/** Foreign edits of the same record this often in a row are no accident. */
const MAX_REFUSALS = 5;

/** Between attempts to read what became of a transaction without an answer; each has a deadline of its own. */
const READ_BACK_RETRY_MS = 250;

/** Decisions that change nothing are made for so long at a time, so that nobody waits for a long row of them. */
const MAX_ROW_MS = 10;

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

/**
 * The only writer of a term. Decisions are made one after the other, each on a state that holds everything that was
 * decided before it, so two of them never clash; as many as fit go into one fenced transaction. Nothing is seen by
 * anybody before it is in the store. Whatever is refused or has no known outcome is read again and decided again.
 */
export class Writer {
  readonly #options: WriterOptions;
  readonly #jobs: WriteJob[] = [];
  #wake: () => void = () => {};
  #inFlight: Promise<void> = Promise.resolve();
  #isBehind = false;
  readonly #onCaughtUp = new Set<() => void>();

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  /** Decisions that wait. */
  get depth(): number {
    return this.#jobs.length;
  }

  /** More decisions wait than were written at once: their changes follow those that came last without a pause. */
  get hasBacklog(): boolean {
    return this.#isBehind;
  }

  /** Calls `listener` whenever the writer was behind and is not any more; the returned function ends that. */
  onBacklogCleared(listener: () => void): () => void {
    this.#onCaughtUp.add(listener);
    return () => this.#onCaughtUp.delete(listener);
  }

  /**
   * Resolves with the decision's result when all of its changes are in the store.
   * @throws what `decide` throws; BERTH_CONFLICT when others keep changing the same records; the reason of `signal`, after
   *         which the changes may still be made if they were under way
   */
  submit<T>(decide: Decide<T>, signal: AbortSignal): Promise<T> {
    const { job, done } = writeJob(decide, signal);
    this.#jobs.push(job);
    this.#wake();
    return done;
  }

  /** Resolves when no transaction is under way: events of our own writes are then known already. */
  untilIdle(): Promise<void> {
    return this.#inFlight;
  }

  /** Writes until `signal` aborts; what still waits then fails with its reason. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (this.#jobs.length === 0) {
        this.#catchUp();
        await this.#nextJob(signal);
      } else {
        const row = this.#decideSome();
        this.#inFlight = this.#write(row, signal);
        await this.#inFlight;
        if (needsPause(row)) await sleep(this.#options.clock, 0, signal);
      }
    }
    for (const job of this.#jobs.splice(0)) job.fail(signal.reason);
  }

  #catchUp(): void {
    if (!this.#isBehind) return;
    this.#isBehind = false;
    for (const listener of this.#onCaughtUp) listener();
  }

  #nextJob(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const forget = onAbort(signal, resolve);
      this.#wake = () => {
        forget();
        resolve();
      };
    });
  }

  async #write({ jobs, changes }: Row, signal: AbortSignal): Promise<void> {
    try {
      for (const parts of groupConcurrent(splitIntoTransactions(changes))) {
        const outcomes = await Promise.all(parts.map((part) => this.#commit(part, signal)));
        if (outcomes.every((outcome) => outcome === "committed")) continue;
        this.#decideAgain(jobs, outcomes.includes("refused") ? 1 : 0);
        return;
      }
      for (const job of jobs) job.settle();
    } catch (error) {
      for (const job of jobs) job.fail(signal.aborted ? signal.reason : error);
    }
  }

  /** Makes decisions until as much is to be written as goes at once. One that alone is more is taken by itself. */
  #decideSome(): Row {
    const jobs: WriteJob[] = [];
    const changes: EncodedChange[] = [];
    const load = new TransactionBudget();
    const { state, clock } = this.#options;
    const startedMs = clock.nowMs();
    state.draft((draft) => {
      for (let job = this.#jobs.shift(); job !== undefined; job = this.#jobs.shift()) {
        const wanted = this.#decide(job);
        if (wanted === undefined) continue;
        const isFull = !load.fits(wanted);
        if (isFull && jobs.length > 0) {
          this.#jobs.unshift(job);
          this.#isBehind = true;
          return;
        }
        jobs.push(job);
        for (const change of wanted) changes.push(change);
        load.add(wanted);
        if (isFull) {
          this.#isBehind ||= this.#jobs.length > 0;
          return;
        }
        draft.write(wanted.map(({ change }) => change));
        if (changes.length === 0 && clock.nowMs() - startedMs > MAX_ROW_MS) return;
      }
    });
    return { jobs, changes: lastOfEach(changes) };
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

  /** After `refused` and `unknown` the state holds what is in the store. */
  async #commit(part: readonly EncodedChange[], signal: AbortSignal): Promise<TxnOutcome["kind"]> {
    const { store, state, fence, observer } = this.#options;
    const outcome = await store.txn(toTxn(part, state, fence), signal);
    observer.onTransaction(outcome.kind, part.length);
    switch (outcome.kind) {
      case "committed":
        state.apply(part.map(({ change }) => ({ change, revision: outcome.revision })));
        break;
      case "refused": {
        const [leader, ...found] = outcome.found;
        this.#checkLeader(leader);
        this.#takeOver(part, found, outcome.revision);
        break;
      }
      case "unknown":
        await this.#readBack(part, outcome.cause, signal);
        break;
      default:
        assertNever(outcome);
    }
    return outcome.kind;
  }

  #checkLeader(entry: Entry | undefined): void {
    const { fence } = this.#options;
    if (fence.kind !== "created-at" || entry?.createRevision === fence.revision) return;
    throw new BerthError({
      code: "BERTH_NOT_LEADER",
      message: "Another server leads now; this one wrote nothing. Ask again.",
    });
  }

  #decideAgain(jobs: readonly WriteJob[], refusals: number): void {
    for (const job of [...jobs].reverse()) {
      job.refusals += refusals;
      if (job.refusals < MAX_REFUSALS) this.#jobs.unshift(job);
      else job.fail(conflict());
    }
  }

  /** Waits until etcd says what became of a transaction. */
  async #readBack(part: readonly EncodedChange[], cause: BerthError, signal: AbortSignal): Promise<void> {
    const { store, clock, logger } = this.#options;
    logger.warn(
      { err: cause, changes: part.length },
      "a write got no answer; reading back what became of it",
    );
    for (;;) {
      const outcome = await store.txn({ ops: readBack(part) }, signal);
      if (outcome.kind === "committed") {
        this.#takeOver(part, outcome.results.map(entryOf), outcome.revision);
        logger.info({ revision: String(outcome.revision) }, "etcd answers again");
        return;
      }
      await sleep(clock, READ_BACK_RETRY_MS, signal);
      signal.throwIfAborted();
    }
  }

  #takeOver(part: readonly EncodedChange[], entries: readonly (Entry | undefined)[], revision: bigint): void {
    const read = new Map(part.map(({ key }, index) => [key, entries[index]]));
    for (const { key, reason } of applyEntries(this.#options.state, read, revision)) {
      this.#options.logger.error({ key, reason }, "a record cannot be read and is ignored");
    }
  }
}

/** Decisions that are made, and written, one after the other. */
interface Row {
  readonly jobs: readonly WriteJob[];
  readonly changes: readonly EncodedChange[];
}

/**
 * What was written of tasks is on its way to the agents before anybody thinks about what comes next. Where nothing was
 * written, nobody has had a turn. All else, a thousand hosts that register for one, goes on at once.
 */
const needsPause = ({ changes }: Row): boolean => changes.length === 0 || changes.some(isTaskChange);

/** Two decisions of one draft may change the same record: the later one was made knowing the earlier. */
function lastOfEach(changes: readonly EncodedChange[]): readonly EncodedChange[] {
  return [...new Map(changes.map((change) => [change.key, change])).values()];
}

function entryOf(result: OpResult): Entry | undefined {
  return result.kind === "get" ? result.entry : undefined;
}

function conflict(): BerthError {
  return new BerthError({
    code: "BERTH_CONFLICT",
    message: "Somebody else keeps changing the same records in etcd; nothing was written. Try again.",
  });
}

/** Changes that a decision wants, and what to answer once they are in the store. */
export interface Decision<T> {
  readonly changes: readonly Change[];
  readonly result: T;
}

/** Decides from the state as it is, and may be asked again after a conflict. Throws to refuse. */
export type Decide<T> = (state: ClusterState) => Decision<T>;

/** A decision that waits for its turn to be made and written. */
export interface WriteJob {
  /** Decides and keeps the answer for `settle`. */
  decide(state: ClusterState): readonly EncodedChange[];
  /** The changes are in the store. */
  settle(): void;
  fail(error: unknown): void;
  /** True when nobody waits for it any more. */
  isSettled(): boolean;
  /** How often the store has refused it. */
  refusals: number;
}

/** A job and the promise of its result. The promise rejects with the reason of `signal` as soon as that aborts. */
export function writeJob<T>(
  decide: Decide<T>,
  signal: AbortSignal,
): { readonly job: WriteJob; readonly done: Promise<T> } {
  let over = false;
  let result: { readonly value: T } | undefined;
  let resolveDone: (value: T) => void = () => {};
  let rejectDone: (reason: unknown) => void = () => {};
  const done = new Promise<T>((resolve, reject) => {
    resolveDone = resolve;
    rejectDone = reject;
  });
  const end = (finish: () => void): void => {
    if (over) return;
    over = true;
    forget();
    finish();
  };
  const job: WriteJob = {
    refusals: 0,
    decide: (state) => {
      const decision = decide(state);
      result = { value: decision.result };
      return decision.changes.map(encodeChange);
    },
    settle: () => end(() => result && resolveDone(result.value)),
    fail: (error) => end(() => rejectDone(error)),
    isSettled: () => over,
  };
  let forget = (): void => {};
  forget = onAbort(signal, () => job.fail(signal.reason));
  return { job, done };
}
