import { isBerthError, scaleTiming } from "@berth/proto";
import { linkSignals, onAbort } from "../runtime/abort.js";
import { type Clock, sleep } from "../runtime/clock.js";
import { notLeaderError } from "../runtime/leader-errors.js";
import { type HeldLease, holdLease } from "./held-lease.js";
import { untilGone, watchKey } from "./list-watch.js";
import { readOne } from "./read.js";
import type { Compare, Entry, Store } from "./store.js";

/** Pause between attempts while the store does not respond. */
const RETRY_MS = 250;

/**
 * Timeout for the deletion of a dead leader's key. When a host with both leaders is lost, etcd first elects a new
 * leader of its own, which takes about a second.
 */
const DEPOSE_TIMEOUT_MS = scaleTiming(300);

/** Pause between two attempts to delete a dead leader's key. */
const DEPOSE_RETRY_MS = 50;

/** The leader key as all servers see it. */
export interface LeaderRecord {
  /** The value that the leader campaigned with. */
  readonly value: string;
  /** Create revision of the leader key; grows from term to term. */
  readonly epoch: bigint;
}

/** A period in which this server holds the leader key. */
export interface Term {
  readonly key: string;
  /** Create revision of the leader key; grows from term to term. */
  readonly epoch: bigint;
  /** Aborts before another server can be elected. Everything that the term started must stop then. */
  readonly lost: AbortSignal;
  /** False as soon as another server may have been elected, even if the process was suspended and no timer could fire. */
  isHeld(): boolean;
  /** Ends the term and deletes the leader key, so that the next leader is elected at once. */
  resign(): Promise<void>;
}

/** Returns the comparison that makes etcd refuse the writes of a deposed leader. */
export function fence(term: Pick<Term, "key" | "epoch">): Compare {
  return { kind: "created-at", key: term.key, revision: term.epoch };
}

/** The progress of a candidate, for logs and metrics. */
export type ElectionEvent =
  | { readonly kind: "waiting"; readonly leader: LeaderRecord }
  | { readonly kind: "elected"; readonly epoch: bigint }
  | { readonly kind: "ended"; readonly epoch: bigint; readonly reason: unknown }
  | { readonly kind: "unreachable"; readonly cause: unknown };

export interface CampaignOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly key: string;
  /** Value of the key during the term, from which other servers learn this server's address. */
  readonly value: string;
  /** Time for which the key outlives a dead leader. etcd grants at least 2 s. */
  readonly ttlSeconds: number;
  /**
   * Resolves when a leader is certainly dead, or when `signal` is aborted. The candidate then deletes its key instead
   * of waiting for the lease. A wrong result costs an election but no consistency, because writes are fenced.
   *
   * @default the candidate waits until the lease expires
   */
  readonly untilDead?: (leader: LeaderRecord, signal: AbortSignal) => Promise<void>;
  readonly onEvent?: (event: ElectionEvent) => void;
}

/**
 * Campaigns until `signal` is aborted and yields each term that is won:
 *
 *     for await (const term of campaign(options, signal)) await runTerm(term);
 *
 * The loop body must return soon after `term.lost` aborts; returning earlier resigns. Two terms can overlap in time
 * when a process is suspended, so every write of a term carries `fence(term)`: only one of them can commit.
 */
export async function* campaign(options: CampaignOptions, signal: AbortSignal): AsyncGenerator<Term> {
  const report = options.onEvent ?? (() => {});
  while (!signal.aborted) {
    const term = await tryToWinTerm(options, signal).catch((error: unknown) => {
      if (!isBerthError(error) && !signal.aborted) throw error;
      report({ kind: "unreachable", cause: error });
    });
    if (term === undefined) {
      await sleep(options.clock, RETRY_MS, signal);
      continue;
    }
    report({ kind: "elected", epoch: term.epoch });
    try {
      yield term;
    } finally {
      await term.resign();
      report({ kind: "ended", epoch: term.epoch, reason: term.lost.reason });
    }
  }
}

/** Yields the current leader and each change until `signal` is aborted. Yields undefined if there is no leader. */
export async function* watchLeader(
  options: { readonly store: Store; readonly key: string; readonly clock: Clock },
  signal: AbortSignal,
): AsyncGenerator<LeaderRecord | undefined> {
  for await (const entry of watchKey(options, signal)) yield entry && leaderRecord(entry);
}

/** Waits until the key is free and claims it. Returns undefined if another candidate was faster. */
async function tryToWinTerm(options: CampaignOptions, signal: AbortSignal): Promise<Term | undefined> {
  const { store, clock, key, ttlSeconds } = options;
  const holder = await readOne(store, key, signal);
  if (holder !== undefined) {
    options.onEvent?.({ kind: "waiting", leader: leaderRecord(holder) });
    await untilKeyIsFree(options, holder, signal);
  }
  const lease = await holdLease({ leases: store.leases, clock, ttlSeconds }, signal);
  try {
    const epoch = await claimKey(options, lease, signal);
    if (epoch !== undefined) return startTerm({ store, clock, key, epoch, lease });
  } catch (error) {
    await lease.release();
    throw error;
  }
  await lease.release();
  return undefined;
}

/** Waits until the leader's key is gone. Deletes it when the leader is known to be dead. */
async function untilKeyIsFree(options: CampaignOptions, holder: Entry, signal: AbortSignal): Promise<void> {
  const { store, clock, key } = options;
  const link = linkSignals(signal);
  const leaderGone = untilGone({ store, clock, key, createRevision: holder.createRevision }, link.signal);
  const deposed = deposeWhenDead(options, holder, link.signal);
  try {
    await Promise.race([leaderGone, deposed.then(() => leaderGone)]);
  } finally {
    link.unlink();
    link.abort();
    // It fails when the link is aborted, and its own failure has ended the race above.
    await deposed.catch(() => {});
  }
}

/** Deletes the key of a dead leader. Checks the leader before each attempt, since an earlier verdict may be out of date. */
async function deposeWhenDead(options: CampaignOptions, holder: Entry, signal: AbortSignal): Promise<void> {
  const { untilDead, clock } = options;
  while (untilDead !== undefined && !signal.aborted) {
    await untilDead(leaderRecord(holder), signal);
    if (signal.aborted || (await deposeOnce(options, holder, signal))) return;
    await sleep(clock, DEPOSE_RETRY_MS, signal);
  }
}

/**
 * Deletes the key of this leader, never the key of a successor, so an attempt with an unknown outcome can be repeated.
 * etcd does not answer a request that arrives while etcd's own leader is dead.
 *
 * @returns whether etcd responded
 */
async function deposeOnce(
  { store, clock }: CampaignOptions,
  { key, createRevision }: Entry,
  signal: AbortSignal,
): Promise<boolean> {
  const compare = [{ kind: "created-at", key, revision: createRevision }] as const;
  const attempt = linkSignals(signal);
  const cancel = clock.after(DEPOSE_TIMEOUT_MS, () => attempt.abort(new Error("no response in time")));
  try {
    const { kind } = await store.txn({ compare, ops: [{ kind: "delete", key }] }, attempt.signal);
    return kind !== "unknown";
  } catch (error) {
    if (signal.aborted || !attempt.signal.aborted) throw error;
    return false;
  } finally {
    cancel();
    attempt.unlink();
  }
}

/** Creates the key if it is absent. When the outcome is unknown, the key's lease shows whether this server created it. */
async function claimKey(
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

function leaderRecord(entry: Entry): LeaderRecord {
  return { value: entry.value, epoch: entry.createRevision };
}

interface TermOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly key: string;
  readonly epoch: bigint;
  readonly lease: HeldLease;
}

/** Starts a term that lasts while the lease is held and the key exists. Other servers delete the key of a dead leader. */
function startTerm({ store, clock, key, epoch, lease }: TermOptions): Term {
  const ended = new AbortController();
  const end = (reason: string): void => ended.abort(notLeaderError({ reason }));
  onAbort(lease.lost, () => end("its lease was lost or released"));
  untilGone({ store, clock, key, createRevision: epoch }, ended.signal).then(
    () => end("its key was deleted"),
    (error: unknown) => end(`its key cannot be watched (${error})`),
  );
  return {
    key,
    epoch,
    lost: ended.signal,
    isHeld: () => !ended.signal.aborted && lease.isHeld(),
    resign: () => {
      end("it resigned");
      return lease.release();
    },
  };
}
