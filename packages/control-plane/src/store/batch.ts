import { assertNever } from "@berth/proto";
import { checkTxn, MAX_TXN_BYTES, MAX_TXN_OPS, txnBytes } from "./check-txn.js";
import type { Compare, Store, TxnOutcome, TxnRequest } from "./store.js";

/** etcd commits transactions that arrive together with one fsync: eight in flight write 1.7 times as much as one, and more write no more. */
const DEFAULT_IN_FLIGHT = 8;

/** Changes that belong together: all of them in one transaction or none. */
export type BatchUnit = Pick<TxnRequest, "compare" | "ops">;

export interface BatchOptions {
  readonly store: Store;
  /** Compared in every transaction, the leader's fence for one. */
  readonly guard: readonly Compare[];
  /** No key twice. Transactions with several units each are sent in this order, but finish in any unless `inFlight` is 1. */
  readonly units: readonly BatchUnit[];
  readonly inFlight?: number;
}

/** What became of the units; together they are all of them. */
export interface BatchOutcome {
  /** All were committed. */
  readonly complete: boolean;
  /** The highest revision that a transaction committed at. */
  readonly revision: bigint;
  readonly committed: readonly BatchUnit[];
  /** A comparison failed for one unit of the same transaction or for the guard. */
  readonly refused: readonly BatchUnit[];
  /** Read again to know. */
  readonly unknown: readonly BatchUnit[];
  readonly unsent: readonly BatchUnit[];
}

/**
 * Writes any number of units in as few transactions as the store's limits allow, several at a time.
 * After the first that is refused or unknown no more are sent.
 * @throws BerthError BERTH_STORE_LIMIT before anything is sent, if one unit is too big for a transaction;
 *         the signal's reason when aborted, with any number of units committed
 */
export async function writeBatch(options: BatchOptions, signal: AbortSignal): Promise<BatchOutcome> {
  const { store, guard, units, inFlight = DEFAULT_IN_FLIGHT } = options;
  const chunks = splitUnits(units, guard);
  const requests = chunks.map((chunk) => toRequest(chunk, guard));
  for (const request of requests) checkTxn(request);

  const outcomes: TxnOutcome[] = [];
  let next = 0;
  let stopped = false;
  const send = async (): Promise<void> => {
    while (!stopped) {
      const i = next++;
      const request = requests[i];
      if (request === undefined) return;
      const outcome = await store.txn(request, signal);
      outcomes[i] = outcome;
      if (outcome.kind !== "committed") stopped = true;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, send));
  return summarize(chunks, outcomes);
}

/** Fills transactions one after the other, in order, each up to what the store takes. */
export function splitUnits(
  units: readonly BatchUnit[],
  guard: readonly Compare[],
): readonly (readonly BatchUnit[])[] {
  const empty = { ops: 0, compares: guard.length, bytes: txnBytes({ compare: guard, ops: [] }) };
  const chunks: BatchUnit[][] = [];
  let chunk: BatchUnit[] = [];
  let size = empty;
  for (const unit of units) {
    const grown = {
      ops: size.ops + unit.ops.length,
      compares: size.compares + (unit.compare?.length ?? 0),
      bytes: size.bytes + txnBytes(unit),
    };
    const fits = grown.ops <= MAX_TXN_OPS && grown.compares <= MAX_TXN_OPS && grown.bytes <= MAX_TXN_BYTES;
    if (fits || chunk.length === 0) {
      chunk.push(unit);
      size = grown;
      continue;
    }
    chunks.push(chunk);
    chunk = [unit];
    size = {
      ops: unit.ops.length,
      compares: empty.compares + (unit.compare?.length ?? 0),
      bytes: empty.bytes + txnBytes(unit),
    };
  }
  return chunk.length === 0 ? chunks : [...chunks, chunk];
}

function toRequest(chunk: readonly BatchUnit[], guard: readonly Compare[]): TxnRequest {
  return {
    compare: [...guard, ...chunk.flatMap((unit) => unit.compare ?? [])],
    ops: chunk.flatMap((unit) => unit.ops),
  };
}

function summarize(chunks: readonly (readonly BatchUnit[])[], outcomes: readonly TxnOutcome[]): BatchOutcome {
  const committed: BatchUnit[] = [];
  const refused: BatchUnit[] = [];
  const unknown: BatchUnit[] = [];
  const unsent: BatchUnit[] = [];
  let revision = 0n;
  for (const [i, chunk] of chunks.entries()) {
    const outcome = outcomes[i];
    bucketFor(outcome).push(...chunk);
    if (outcome?.kind === "committed" && outcome.revision > revision) revision = outcome.revision;
  }
  return {
    complete: committed.length === chunks.flat().length,
    revision,
    committed,
    refused,
    unknown,
    unsent,
  };

  function bucketFor(outcome: TxnOutcome | undefined): BatchUnit[] {
    switch (outcome?.kind) {
      case "committed":
        return committed;
      case "refused":
        return refused;
      case "unknown":
        return unknown;
      case undefined:
        return unsent;
      default:
        return assertNever(outcome);
    }
  }
}
