import { BerthError } from "@berth/proto";
import { type Change, changeKey, encodeValue } from "../state/change.js";
import { MAX_TXN_BYTES, MAX_TXN_OPS, opBytes, txnBytes } from "../store/check-txn.js";
import { LEADER_KEY } from "../store/keys.js";
import type { Op } from "../store/store.js";

/** Maximum number of changes in one transaction. The leader's fence is one more comparison. */
export const MAX_CHANGES = MAX_TXN_OPS - 1;

/**
 * Maximum size of the changes in one transaction. The key of the fence is compared, and read when the fence has failed.
 */
const MAX_BYTES = MAX_TXN_BYTES - 2 * txnBytes({ compare: [{ kind: "absent", key: LEADER_KEY }], ops: [] });

/**
 * Maximum number of concurrent transactions. etcd commits them with one fsync, and more of them bring no further gain.
 */
const MAX_CONCURRENT = 8;

/** A change with its store operation. Encoded once, because the value can be large. */
export interface EncodedChange {
  readonly change: Change;
  readonly key: string;
  readonly op: Op;
  readonly bytes: number;
}

/**
 * Encodes a change for the store.
 *
 * @throws BerthError BERTH_STORE_LIMIT if the record is too large for a transaction of its own
 */
export function encodeChange(change: Change): EncodedChange {
  const key = changeKey(change);
  const value = encodeValue(change);
  const op: Op = value === undefined ? { kind: "delete", key } : { kind: "put", key, value };
  // The key is also compared, and read back when the transaction is refused.
  const bytes = opBytes(op) + txnBytes({ compare: [{ kind: "absent", key }], ops: [] }) * 2;
  if (bytes > MAX_BYTES) throw recordTooLargeError(key, bytes);
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
  /** The last group, while further transactions may join it. */
  let openGroup: T[] | undefined;
  for (const transaction of transactions) {
    const isConcurrent = transaction.every(isTaskChange);
    if (isConcurrent && openGroup !== undefined && openGroup.length < MAX_CONCURRENT) {
      openGroup.push(transaction);
      continue;
    }
    const group = [transaction];
    groups.push(group);
    openGroup = isConcurrent ? group : undefined;
  }
  return groups;
}

function recordTooLargeError(key: string, bytes: number): BerthError {
  return new BerthError({
    code: "BERTH_STORE_LIMIT",
    message: `cannot store ${key}: the record has ${bytes} bytes, more than the limit of ${MAX_BYTES}; make it smaller`,
    details: { key },
  });
}
