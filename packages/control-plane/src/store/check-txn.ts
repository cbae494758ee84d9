import { BerthError } from "@berth/proto";
import type { Op, TxnRequest } from "./store.js";

/**
 * Maximum number of operations, and of comparisons, in a transaction. Less than etcd's default `--max-txn-ops` of 128.
 */
export const MAX_TXN_OPS = 100;

/** Maximum size of an encoded transaction. Less than etcd's default `--max-request-bytes` of 1.5 MiB. */
export const MAX_TXN_BYTES = 1_400_000;

/** Encoded size of an operation or comparison without its key and value, rounded up. */
const OVERHEAD_BYTES = 64;

const KEY_PATTERN = /^[\x21-\x7e]{1,512}$/;

/**
 * Rejects requests that etcd would reject. Every implementation of the store calls it, so all of them behave the same.
 *
 * @throws BerthError BERTH_STORE_LIMIT for a request that is too large, BERTH_INTERNAL for an invalid one
 */
export function checkTxn(request: TxnRequest): void {
  const { compare = [], ops, otherwise = [] } = request;
  const count = Math.max(compare.length, ops.length, otherwise.length);
  if (count > MAX_TXN_OPS) {
    throw tooLargeError(
      `transaction has ${count} operations or comparisons, more than the limit of ${MAX_TXN_OPS}`,
    );
  }
  const bytes = txnBytes(request);
  if (bytes > MAX_TXN_BYTES) {
    throw tooLargeError(`transaction has ${bytes} bytes, more than the limit of ${MAX_TXN_BYTES}`);
  }
  for (const { key } of [...compare, ...otherwise, ...ops]) checkKey(key);
  checkWrites(ops);
}

/**
 * Checks a key.
 *
 * @throws BerthError BERTH_INTERNAL unless the key has 1 to 512 printable ASCII characters
 */
export function checkKey(key: string): void {
  if (KEY_PATTERN.test(key)) return;
  const quotedKey = JSON.stringify(key.slice(0, 80));
  throw invalidTransactionError(`invalid store key ${quotedKey}; use 1 to 512 printable ASCII characters`);
}

/** Returns an upper bound of the request's encoded size. */
export function txnBytes({ compare = [], ops, otherwise = [] }: TxnRequest): number {
  let bytes = 0;
  for (const { key } of [...compare, ...otherwise]) bytes += key.length + OVERHEAD_BYTES;
  for (const op of ops) bytes += opBytes(op);
  return bytes;
}

/** Returns an upper bound of one operation's encoded size. */
export function opBytes(op: Op): number {
  return OVERHEAD_BYTES + op.key.length + (op.kind === "put" ? Buffer.byteLength(op.value) : 0);
}

/** Checks that no key is put twice, or put and deleted: a transaction is one revision. Deleting a key twice is allowed. */
function checkWrites(ops: readonly Op[]): void {
  const puts = new Set<string>();
  for (const op of ops) {
    if (op.kind !== "put") continue;
    if (puts.has(op.key)) throw duplicateKeyError(op.key);
    puts.add(op.key);
  }
  for (const op of ops) {
    if (op.kind === "delete" && puts.has(op.key)) throw duplicateKeyError(op.key);
  }
}

function duplicateKeyError(key: string): BerthError {
  return invalidTransactionError(`transaction writes the key ${key} twice`);
}

function invalidTransactionError(message: string): BerthError {
  return new BerthError({ code: "BERTH_INTERNAL", message });
}

function tooLargeError(message: string): BerthError {
  return new BerthError({ code: "BERTH_STORE_LIMIT", message: `${message}; split it` });
}
