import { type Change, changeKey } from "../state/change.js";
import type { ClusterState } from "../state/cluster-state.js";
import { encodeValue } from "../state/codec.js";
import { MAX_TXN_BYTES, MAX_TXN_OPS, opBytes, txnBytes } from "../store/check-txn.js";
import type { Compare, GetOp, Op, TxnRequest } from "../store/store.js";

/** One comparison is the leader's fence. */
export const MAX_CHANGES = MAX_TXN_OPS - 1;

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

/** Whether so much still goes into one transaction. */
export function fitsTransaction(size: { readonly changes: number; readonly bytes: number }): boolean {
  return size.changes <= MAX_CHANGES && size.bytes <= MAX_TXN_BYTES;
}

/** Cuts changes into as few transactions as possible, in order. */
export function splitChanges(changes: readonly EncodedChange[]): readonly (readonly EncodedChange[])[] {
  const parts: EncodedChange[][] = [];
  let part: EncodedChange[] = [];
  let bytes = 0;
  for (const change of changes) {
    if (part.length > 0 && !fitsTransaction({ changes: part.length + 1, bytes: bytes + change.bytes })) {
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
