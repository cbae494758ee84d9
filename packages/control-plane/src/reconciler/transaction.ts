import { type Change, changeKey } from "../state/change.js";
import type { ClusterState } from "../state/cluster-state.js";
import { encodeValue } from "../state/codec.js";
import { MAX_TXN_BYTES, MAX_TXN_OPS, opBytes, txnBytes } from "../store/check-txn.js";
import type { Compare, GetOp, Op, TxnRequest } from "../store/store.js";

/** One comparison is the leader's fence. */
export const MAX_CHANGES = MAX_TXN_OPS - 1;

/** etcd commits transactions that arrive together with one fsync; more than this at once gain nothing. */
const IN_FLIGHT = 8;

/** A change as the store is asked for it. Made once, since its value can be long. */
export interface EncodedChange {
  readonly change: Change;
  readonly key: string;
  readonly op: Op;
  readonly bytes: number;
}

export function encodeChange(change: Change): EncodedChange {
  const key = changeKey(change);
  const value = encodeValue(change);
  const op: Op = value === undefined ? { kind: "delete", key } : { kind: "put", key, value };
  return {
    change,
    key,
    op,
    bytes: opBytes(op) + txnBytes({ compare: [{ kind: "present", key }], ops: [] }) * 2,
  };
}

/**
 * How much is written at once: one transaction, so that what belongs together is written together; several when it is
 * about tasks alone, each of which stands for itself.
 */
export class TransactionBudget {
  #changes = 0;
  #bytes = 0;
  #tasksOnly = true;

  fits(changes: readonly EncodedChange[]): boolean {
    const transactions = this.#tasksOnly && changes.every(isTaskChange) ? IN_FLIGHT : 1;
    return (
      this.#changes + changes.length <= MAX_CHANGES * transactions &&
      this.#bytes + bytesOf(changes) <= MAX_TXN_BYTES * transactions
    );
  }

  add(changes: readonly EncodedChange[]): void {
    this.#changes += changes.length;
    this.#bytes += bytesOf(changes);
    this.#tasksOnly &&= changes.every(isTaskChange);
  }
}

/** Groups transactions that may be under way together: those about tasks alone, in any order among them. */
export function groupConcurrent<T extends readonly EncodedChange[]>(
  parts: readonly T[],
): readonly (readonly T[])[] {
  const turns: T[][] = [];
  let open: T[] | undefined;
  for (const part of parts) {
    const mayJoin = part.every(isTaskChange);
    if (mayJoin && open !== undefined && open.length < IN_FLIGHT) {
      open.push(part);
      continue;
    }
    const turn = [part];
    turns.push(turn);
    open = mayJoin ? turn : undefined;
  }
  return turns;
}

/** Cuts changes into as few transactions as possible, in order. */
export function splitIntoTransactions(
  changes: readonly EncodedChange[],
): readonly (readonly EncodedChange[])[] {
  const parts: EncodedChange[][] = [];
  let part: EncodedChange[] = [];
  let bytes = 0;
  for (const change of changes) {
    if (part.length >= MAX_CHANGES || (part.length > 0 && bytes + change.bytes > MAX_TXN_BYTES)) {
      parts.push(part);
      part = [];
      bytes = 0;
    }
    part.push(change);
    bytes += change.bytes;
  }
  return part.length === 0 ? parts : [...parts, part];
}

/**
 * Everything or nothing, and only if the fence holds and every key is as the state knows it. The answer to a refusal
 * holds the fence's entry first, then that of each key.
 */
export function toTxn(changes: readonly EncodedChange[], state: ClusterState, fence: Compare): TxnRequest {
  return {
    compare: [fence, ...changes.map(({ key }) => asKnown(key, state))],
    ops: changes.map(({ op }) => op),
    otherwise: [{ kind: "get", key: fence.key }, ...readBack(changes)],
  };
}

export function readBack(changes: readonly EncodedChange[]): readonly GetOp[] {
  return changes.map(({ key }) => ({ kind: "get", key }));
}

function asKnown(key: string, state: ClusterState): Compare {
  const revision = state.revisions.get(key);
  return revision === undefined ? { kind: "absent", key } : { kind: "modified-at", key, revision };
}

export function isTaskChange({ change }: EncodedChange): boolean {
  return change.kind === "put-task" || change.kind === "delete-task";
}

function bytesOf(changes: readonly EncodedChange[]): number {
  return changes.reduce((sum, { bytes }) => sum + bytes, 0);
}
