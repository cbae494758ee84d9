import { isBerthError } from "@berth/proto";
import { type Clock, sleep } from "./clock.js";
import { type HeldLease, holdLease } from "./held-lease.js";
import { observeKey, untilGone } from "./observe-key.js";
import { readOne } from "./read.js";
import type { Entry, Store } from "./store.js";
import { leasedTerm, type Term } from "./term.js";

/** Between attempts while the store does not answer. */
const RETRY_MS = 250;

/** A leader and from when: the same for everybody who sees it. */
export interface Leader {
  /** What the candidate campaigned with. */
  readonly value: string;
  /** Create revision of the leader key: grows from term to term. */
  readonly epoch: bigint;
}

/** What a candidate goes through, for logs and metrics. */
export type ElectionEvent =
  | { readonly kind: "waiting"; readonly leader: Leader }
  | { readonly kind: "elected"; readonly epoch: bigint }
  | { readonly kind: "ended"; readonly epoch: bigint; readonly reason: unknown }
  | { readonly kind: "unreachable"; readonly cause: unknown };

export interface CampaignOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly key: string;
  /** Tells others who leads and how to reach it. */
  readonly value: string;
  /** How long after the leader's death the key stays. etcd grants no less than 2 s. */
  readonly ttlSeconds: number;
  /**
   * True for a leader that certainly runs no more: its key is then removed instead of waited for. A wrong answer costs a
   * needless change of leaders and nothing else, since its writes are fenced. @default nobody is known to be dead
   */
  readonly isKnownDead?: (leader: Leader) => boolean;
  readonly onEvent?: (event: ElectionEvent) => void;
}

/**
 * Stands for election until `signal` aborts, and yields each term that is won:
 *
 *     for await (const term of campaign(options, signal)) await lead(term);
 *
 * The body should return soon after `term.lost` aborts; a body that returns earlier has resigned. Two terms can overlap
 * in time when a process stands still, so every write of a term carries `fence(term)`: only one of them can commit.
 */
export async function* campaign(options: CampaignOptions, signal: AbortSignal): AsyncGenerator<Term> {
  const tell = options.onEvent ?? (() => {});
  while (!signal.aborted) {
    const term = await nextTerm(options, signal).catch((error: unknown) => {
      if (!isBerthError(error) && !signal.aborted) throw error;
      tell({ kind: "unreachable", cause: error });
    });
    if (term === undefined) {
      await sleep(options.clock, RETRY_MS, signal);
      continue;
    }
    tell({ kind: "elected", epoch: term.epoch });
    try {
      yield term;
    } finally {
      await term.resign();
      tell({ kind: "ended", epoch: term.epoch, reason: term.lost.reason });
    }
  }
}

/** Yields the leader now (undefined: none) and each that follows, until `signal` aborts. Keeps the last one known through outages. */
export async function* observeLeader(
  options: { readonly store: Store; readonly key: string; readonly clock: Clock },
  signal: AbortSignal,
): AsyncGenerator<Leader | undefined> {
  for await (const entry of observeKey(options, signal)) yield entry && leaderOf(entry);
}

/** Waits for the key to be free and claims it; undefined if that did not work out this time. */
async function nextTerm(options: CampaignOptions, signal: AbortSignal): Promise<Term | undefined> {
  const { store, clock, key, ttlSeconds } = options;
  const holder = await readOne(store, key, signal);
  if (holder !== undefined) {
    if (options.isKnownDead?.(leaderOf(holder))) await depose(store, holder, signal);
    options.onEvent?.({ kind: "waiting", leader: leaderOf(holder) });
    await untilGone({ store, clock, key, createRevision: holder.createRevision }, signal);
  }
  const lease = await holdLease({ leases: store.leases, clock, ttlSeconds }, signal);
  try {
    const epoch = await claim(options, lease, signal);
    if (epoch !== undefined) return leasedTerm({ store, clock, key, epoch, lease });
  } catch (error) {
    await lease.release();
    throw error;
  }
  await lease.release();
  return undefined;
}

/** Removes exactly this leader's key, never a successor's. Whatever the outcome, the key is waited for after it. */
async function depose(store: Store, { key, createRevision }: Entry, signal: AbortSignal): Promise<void> {
  const compare = [{ kind: "created-at", key, revision: createRevision }] as const;
  await store.txn({ compare, ops: [{ kind: "delete", key }] }, signal);
}

/** Puts the key if it is absent. The lease tells whether it is ours when the outcome is unknown. */
async function claim(
  { store, key, value }: CampaignOptions,
  { leaseId }: HeldLease,
  signal: AbortSignal,
): Promise<bigint | undefined> {
  const outcome = await store.txn(
    { compare: [{ kind: "absent", key }], ops: [{ kind: "put", key, value, leaseId }] },
    signal,
  );
  if (outcome.kind === "committed") return outcome.revision;
  if (outcome.kind === "refused") return undefined;
  const holder = await readOne(store, key, signal);
  return holder?.leaseId === leaseId ? holder.createRevision : undefined;
}

function leaderOf(entry: Entry): Leader {
  return { value: entry.value, epoch: entry.createRevision };
}
