import { assertNever, BerthError } from "@berth/proto";
import type { Logger } from "pino";
import { type Clock, sleep } from "../runtime/clock.js";
import { notLeader } from "../runtime/leader-errors.js";
import { type Change, changeKey, encodeValue } from "../state/change.js";
import type { ClusterState } from "../state/cluster-state.js";
import { applyEntries, logUnreadable } from "../state/state-sync.js";
import { MAX_TXN_BYTES, MAX_TXN_OPS, opBytes, txnBytes } from "../store/check-txn.js";
import { LEADER_KEY } from "../store/keys.js";
import type { Compare, Entry, GetOp, Op, OpResult, Store, TxnOutcome, TxnRequest } from "../store/store.js";

/** Limit of changes in one transaction. The leader's fence is one more comparison. */
export const MAX_CHANGES = MAX_TXN_OPS - 1;

/** Limit of the changes' bytes in one transaction. The fence's key is compared, and read when the fence has failed. */
const MAX_BYTES = MAX_TXN_BYTES - 2 * txnBytes({ compare: [{ kind: "absent", key: LEADER_KEY }], ops: [] });

/** etcd commits concurrent transactions with one fsync; more than this at a time gain nothing. */
const MAX_CONCURRENT = 8;

/** Pause between attempts to read the result of a transaction that got no answer. */
const READ_BACK_RETRY_MS = 250;

/** A change with its store operation. Encoded once, because the value can be large. */
export interface EncodedChange {
  readonly change: Change;
  readonly key: string;
  readonly op: Op;
  readonly bytes: number;
}

/**
 * Encodes a change for the store.
 * @throws BerthError BERTH_STORE_LIMIT when the record is too large for a transaction of its own
 */
export function encodeChange(change: Change): EncodedChange {
  const key = changeKey(change);
  const value = encodeValue(change);
  const op: Op = value === undefined ? { kind: "delete", key } : { kind: "put", key, value };
  // The key is also compared, and read back when the transaction is refused.
  const bytes = opBytes(op) + txnBytes({ compare: [{ kind: "absent", key }], ops: [] }) * 2;
  if (bytes > MAX_BYTES) throw recordTooLarge(key, bytes);
  return { change, key, op, bytes };
}

/** Returns whether a change writes or deletes a task. */
export function isTaskChange({ change }: EncodedChange): boolean {
  return change.kind === "put-task" || change.kind === "delete-task";
}

/**
 * Limits how many changes are decided before they are written. Changes that belong together must fit into one
 * transaction. Changes of tasks are independent of each other and may use several transactions.
 */
export class TransactionBudget {
  #changes = 0;
  #bytes = 0;
  #hasOnlyTasks = true;

  /** Returns whether further changes fit. */
  fits(changes: readonly EncodedChange[]): boolean {
    const transactions = this.#hasOnlyTasks && changes.every(isTaskChange) ? MAX_CONCURRENT : 1;
    return (
      this.#changes + changes.length <= MAX_CHANGES * transactions &&
      this.#bytes + totalBytes(changes) <= MAX_BYTES * transactions
    );
  }

  /** Adds changes, even if they do not fit. */
  add(changes: readonly EncodedChange[]): void {
    this.#changes += changes.length;
    this.#bytes += totalBytes(changes);
    this.#hasOnlyTasks &&= changes.every(isTaskChange);
  }
}

function totalBytes(changes: readonly EncodedChange[]): number {
  return changes.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Splits changes into as few transactions as possible, in order. */
export function splitIntoTransactions(
  changes: readonly EncodedChange[],
): readonly (readonly EncodedChange[])[] {
  const transactions: EncodedChange[][] = [];
  let current: EncodedChange[] = [];
  let bytes = 0;
  for (const change of changes) {
    if (current.length >= MAX_CHANGES || (current.length > 0 && bytes + change.bytes > MAX_BYTES)) {
      transactions.push(current);
      current = [];
      bytes = 0;
    }
    current.push(change);
    bytes += change.bytes;
  }
  return current.length === 0 ? transactions : [...transactions, current];
}

/** Groups consecutive transactions that may be in flight at the same time, because they change only tasks. */
export function groupConcurrent<T extends readonly EncodedChange[]>(
  transactions: readonly T[],
): readonly (readonly T[])[] {
  const groups: T[][] = [];
  let open: T[] | undefined;
  for (const transaction of transactions) {
    const isConcurrent = transaction.every(isTaskChange);
    if (isConcurrent && open !== undefined && open.length < MAX_CONCURRENT) {
      open.push(transaction);
      continue;
    }
    const group = [transaction];
    groups.push(group);
    open = isConcurrent ? group : undefined;
  }
  return groups;
}

export interface CommitterOptions {
  readonly store: Store;
  readonly state: ClusterState;
  /** The comparison that fails once another server is the leader. */
  readonly fence: Compare;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly observer: { onTransaction(outcome: TxnOutcome["kind"], changes: number): void };
}

/** Commits the writer's transactions and keeps the state equal to the store after every outcome. */
export class Committer {
  readonly #options: CommitterOptions;

  constructor(options: CommitterOptions) {
    this.#options = options;
  }

  /**
   * Commits all changes or none of them. After `refused` and `unknown`, the state holds what the store holds.
   * @throws BerthError BERTH_NOT_LEADER when the fence has failed
   */
  async commit(changes: readonly EncodedChange[], signal: AbortSignal): Promise<TxnOutcome["kind"]> {
    const { store, state, fence, observer } = this.#options;
    const outcome = await store.txn(buildTxn(changes, state, fence), signal);
    observer.onTransaction(outcome.kind, changes.length);
    switch (outcome.kind) {
      case "committed":
        state.apply(changes.map(({ change }) => ({ change, revision: outcome.revision })));
        break;
      case "refused": {
        const [leader, ...found] = outcome.found;
        this.#requireLeader(leader);
        this.#applyEntries(changes, found, outcome.revision);
        break;
      }
      case "unknown":
        await this.#readBack(changes, outcome.cause, signal);
        break;
      default:
        assertNever(outcome);
    }
    return outcome.kind;
  }

  #requireLeader(entry: Entry | undefined): void {
    const { fence } = this.#options;
    if (fence.kind !== "created-at" || entry?.createRevision === fence.revision) return;
    throw notLeader({ reason: "another server was elected" });
  }

  /** Reads the changed keys until etcd answers, since only they show whether the transaction was committed. */
  async #readBack(changes: readonly EncodedChange[], cause: BerthError, signal: AbortSignal): Promise<void> {
    const { store, clock, logger } = this.#options;
    logger.warn({ err: cause, changes: changes.length }, "write timed out; reading the records back");
    for (;;) {
      const outcome = await store.txn({ ops: readOps(changes) }, signal);
      if (outcome.kind === "committed") {
        this.#applyEntries(changes, outcome.results.map(resultEntry), outcome.revision);
        logger.info({ revision: String(outcome.revision) }, "etcd answers again");
        return;
      }
      await sleep(clock, READ_BACK_RETRY_MS, signal);
      signal.throwIfAborted();
    }
  }

  #applyEntries(
    changes: readonly EncodedChange[],
    entries: readonly (Entry | undefined)[],
    revision: bigint,
  ): void {
    const { state, logger } = this.#options;
    const read = new Map(changes.map(({ key }, index) => [key, entries[index]]));
    logUnreadable(applyEntries(state, read, revision), logger);
  }
}

/**
 * Builds a transaction that commits only while the fence holds and every key is as the state knows it. A refusal returns
 * the entry of the fence's key first, then those of the changes.
 */
function buildTxn(changes: readonly EncodedChange[], state: ClusterState, fence: Compare): TxnRequest {
  return {
    compare: [fence, ...changes.map(({ key }) => compareWithState(key, state))],
    ops: changes.map(({ op }) => op),
    otherwise: [{ kind: "get", key: fence.key }, ...readOps(changes)],
  };
}

/** Returns the comparison that fails if the key was changed after the state's last known revision. */
function compareWithState(key: string, state: ClusterState): Compare {
  const revision = state.revisions.get(key);
  return revision === undefined ? { kind: "absent", key } : { kind: "modified-at", key, revision };
}

function readOps(changes: readonly EncodedChange[]): readonly GetOp[] {
  return changes.map(({ key }) => ({ kind: "get", key }));
}

function resultEntry(result: OpResult): Entry | undefined {
  return result.kind === "get" ? result.entry : undefined;
}

function recordTooLarge(key: string, bytes: number): BerthError {
  return new BerthError({
    code: "BERTH_STORE_LIMIT",
    message: `cannot store ${key}: the record has ${bytes} bytes, more than the limit of ${MAX_BYTES}: make it smaller`,
    details: { key },
  });
}
