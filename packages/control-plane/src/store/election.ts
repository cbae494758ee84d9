import { BerthError, isBerthError } from "@berth/proto";
import { onAbort } from "../runtime/abort.js";
import { type Clock, sleep } from "../runtime/clock.js";
import { type HeldLease, holdLease } from "./held-lease.js";
import { untilGone, watchKey } from "./list-watch.js";
import { readOne } from "./read.js";
import type { Compare, Entry, Store } from "./store.js";

/** Between attempts while the store does not answer. */
const RETRY_MS = 250;

/** While etcd chooses a leader of its own, as it must when a host with both has gone: about a second. */
const DEPOSE_TIMEOUT_MS = 300;
const DEPOSE_RETRY_MS = 50;

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
   * Resolves when a leader certainly runs no more, and soon after `signal` aborts: its key is then removed instead of
   * waited for. A wrong answer costs a needless change of leaders and nothing else, since its writes are fenced.
   * @default nobody is known to be dead: keys are waited for until their lease runs out
   */
  readonly untilDead?: (leader: Leader, signal: AbortSignal) => Promise<void>;
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
export async function* watchLeader(
  options: { readonly store: Store; readonly key: string; readonly clock: Clock },
  signal: AbortSignal,
): AsyncGenerator<Leader | undefined> {
  for await (const entry of watchKey(options, signal)) yield entry && leaderOf(entry);
}

/** Waits for the key to be free and claims it; undefined if that did not work out this time. */
async function nextTerm(options: CampaignOptions, signal: AbortSignal): Promise<Term | undefined> {
  const { store, clock, key, ttlSeconds } = options;
  const holder = await readOne(store, key, signal);
  if (holder !== undefined) {
    options.onEvent?.({ kind: "waiting", leader: leaderOf(holder) });
    await untilFree(options, holder, signal);
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

/** Waits for the leader's key to go, and helps when the leader is known to be dead. */
async function untilFree(options: CampaignOptions, holder: Entry, signal: AbortSignal): Promise<void> {
  const { store, clock, key } = options;
  const over = new AbortController();
  const forget = onAbort(signal, () => over.abort(signal.reason));
  const gone = untilGone({ store, clock, key, createRevision: holder.createRevision }, over.signal);
  const deposed = deposeWhenDead(options, holder, over.signal);
  try {
    await Promise.race([gone, deposed.then(() => gone)]);
  } finally {
    forget();
    over.abort();
    await deposed.catch(() => {});
  }
}

/** Asks before each attempt: who was cut off, and is so no more, must not act on what it believed then. */
async function deposeWhenDead(options: CampaignOptions, holder: Entry, signal: AbortSignal): Promise<void> {
  const { untilDead: whenDead, clock } = options;
  while (whenDead !== undefined && !signal.aborted) {
    await whenDead(leaderOf(holder), signal);
    if (signal.aborted || (await depose(options, holder, signal))) return;
    await sleep(clock, DEPOSE_RETRY_MS, signal);
  }
}

/**
 * Removes exactly this leader's key, never a successor's: what makes it harmless to try again when the outcome is
 * unknown. A request that etcd gets while its own leader is dead is lost, and answered by nobody.
 */
async function depose(
  { store, clock }: CampaignOptions,
  { key, createRevision }: Entry,
  signal: AbortSignal,
): Promise<boolean> {
  const compare = [{ kind: "created-at", key, revision: createRevision }] as const;
  const attempt = new AbortController();
  const forget = onAbort(signal, () => attempt.abort(signal.reason));
  const cancel = clock.after(DEPOSE_TIMEOUT_MS, () => attempt.abort(new Error("no answer in time")));
  try {
    const { kind } = await store.txn({ compare, ops: [{ kind: "delete", key }] }, attempt.signal);
    return kind !== "unknown";
  } catch (error) {
    if (signal.aborted || !attempt.signal.aborted) throw error;
    return false;
  } finally {
    cancel();
    forget();
  }
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

/** One time of leading. */
export interface Term {
  readonly key: string;
  /** Create revision of the leader key: grows from term to term. */
  readonly epoch: bigint;
  /** Aborts at the latest when another could be elected, with the reason; whatever the term started must stop then. */
  readonly lost: AbortSignal;
  /** False as soon as another could have been elected, even when no timer could fire because the process stood still. */
  isHeld(): boolean;
  /** Ends the term and removes the leader key, so that the next takes over at once. */
  resign(): Promise<void>;
}

/** The comparison that a deposed leader's writes fail. */
export function fence(term: Pick<Term, "key" | "epoch">): Compare {
  return { kind: "created-at", key: term.key, revision: term.epoch };
}

export interface LeasedTermOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly key: string;
  readonly epoch: bigint;
  readonly lease: HeldLease;
}

/** A term that lasts as long as its lease is held and its key is there: others may remove the key to depose a leader they know dead. */
export function leasedTerm({ store, clock, key, epoch, lease }: LeasedTermOptions): Term {
  const ended = new AbortController();
  const end = (why: string): void => {
    const message = `The term ${epoch} as leader is over: ${why}.`;
    ended.abort(new BerthError({ code: "BERTH_NOT_LEADER", message, details: { epoch: String(epoch) } }));
  };
  onAbort(lease.lost, () => end("its lease was lost, given up or released"));
  untilGone({ store, clock, key, createRevision: epoch }, ended.signal).then(
    () => end("its key was removed"),
    (error: unknown) => end(`its key cannot be observed (${error})`),
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
