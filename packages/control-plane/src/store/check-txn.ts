import { BerthError } from "@berth/proto";
import type { Op, TxnRequest } from "./store.js";

/** etcd's default `--max-txn-ops` is 128; some are left for guards that callers add. It limits comparisons and ops separately. */
export const MAX_TXN_OPS = 100;

/** etcd's default `--max-request-bytes` is 1.5 MiB for the encoded request; the rest is for the encoding. */
export const MAX_TXN_BYTES = 1_400_000;

/** What an op or comparison costs beside its key and value, rounded up. */
const OVERHEAD_BYTES = 64;

const KEY_PATTERN = /^[\x21-\x7e]{1,512}$/;

/**
 * Refuses what etcd would refuse, so that both stores agree and nothing bad is sent.
 * @throws BerthError BERTH_STORE_LIMIT for a request that is too big, BERTH_INTERNAL for one that makes no sense
 */
export function checkTxn(request: TxnRequest): void {
  const { compare = [], ops, otherwise = [] } = request;
  const count = Math.max(compare.length, ops.length, otherwise.length);
  if (count > MAX_TXN_OPS) {
    throw tooBig(`${count} operations in one transaction; at most ${MAX_TXN_OPS} are allowed`);
  }
  const bytes = txnBytes(request);
  if (bytes > MAX_TXN_BYTES) {
    throw tooBig(`${bytes} bytes in one transaction; at most ${MAX_TXN_BYTES} are allowed`);
  }
  for (const { key } of [...compare, ...otherwise]) checkKey(key);
  checkWrites(ops);
}

/** @throws BerthError BERTH_INTERNAL unless the key is 1 to 512 printable ASCII characters */
export function checkKey(key: string): void {
  if (!KEY_PATTERN.test(key)) {
    throw senseless(
      `${JSON.stringify(key.slice(0, 80))} is no store key: it must be 1 to 512 printable ASCII characters`,
    );
  }
}

/** An upper bound of the request's size on the wire. */
export function txnBytes({ compare = [], ops, otherwise = [] }: TxnRequest): number {
  let bytes = 0;
  for (const { key } of [...compare, ...otherwise]) bytes += key.length + OVERHEAD_BYTES;
  for (const op of ops) bytes += opBytes(op);
  return bytes;
}

/** An upper bound of one op's size on the wire. */
export function opBytes(op: Op): number {
  const keyBytes = op.kind === "delete-prefix" ? op.prefix.length * 2 : op.key.length;
  return OVERHEAD_BYTES + keyBytes + (op.kind === "put" ? Buffer.byteLength(op.value) : 0);
}

/** One transaction makes one revision, so it can write a key only once; deleting twice is harmless. */
function checkWrites(ops: readonly Op[]): void {
  const puts = new Set<string>();
  for (const op of ops) {
    checkKey(op.kind === "delete-prefix" ? op.prefix : op.key);
    if (op.kind !== "put") continue;
    if (puts.has(op.key)) throw writtenTwice(op.key);
    puts.add(op.key);
  }
  for (const op of ops) {
    if (op.kind === "delete" && puts.has(op.key)) throw writtenTwice(op.key);
    if (op.kind !== "delete-prefix") continue;
    for (const key of puts) if (key.startsWith(op.prefix)) throw writtenTwice(key);
  }
}

function writtenTwice(key: string): BerthError {
  return senseless(`the key ${key} is written twice in one transaction`);
}

function senseless(message: string): BerthError {
  return new BerthError({ code: "BERTH_INTERNAL", message: `The store refused a transaction: ${message}.` });
}

function tooBig(message: string): BerthError {
  return new BerthError({
    code: "BERTH_STORE_LIMIT",
    message: `The store refused a transaction: ${message}. Split it.`,
  });
}
