import { assertNever, BerthError } from "@berth/proto";
import type { Clock } from "../../runtime/clock.js";
import { Notifier } from "../../runtime/notifier.js";
import { checkKey, checkTxn } from "../../store/check-txn.js";
import type {
  Compare,
  Entry,
  LeaseId,
  Leases,
  Op,
  OpResult,
  RangePage,
  RangeQuery,
  RenewOutcome,
  RenewRequest,
  Store,
  TxnOutcome,
  TxnRequest,
  WatchEvent,
  WatchMessage,
  WatchQuery,
} from "../../store/store.js";
import { History } from "./history.js";

const DEFAULT_PAGE_SIZE = 1_000;

/** The same as in berth's embedded etcd. */
const DEFAULT_KEPT_REVISIONS = 1_000;

export interface MemoryStoreOptions {
  /** Used by leases only. */
  readonly clock: Clock;
  /** Number of revisions to keep. Older ones are compacted when twice as many exist. */
  readonly keptRevisions?: number;
}

/**
 * An in-memory store with etcd's semantics: multi-version reads, compaction, watches and leases. The contract tests run
 * against it and etcd. It is deterministic: its behavior depends only on the calls and the clock.
 */
export class MemoryStore implements Store {
  readonly leases: MemoryLeases;
  readonly #history = new History();
  readonly #committed = new Notifier();
  readonly #keptRevisions: number;

  constructor(options: MemoryStoreOptions) {
    this.#keptRevisions = options.keptRevisions ?? DEFAULT_KEPT_REVISIONS;
    this.leases = new MemoryLeases({ clock: options.clock, onEnd: (keys) => this.#deleteExpired(keys) });
  }

  async *range(query: RangeQuery, signal: AbortSignal): AsyncGenerator<RangePage> {
    checkKey("key" in query ? query.key : query.prefix);
    const revision = query.revision ?? this.#history.revision;
    const limit = query.pageSize ?? DEFAULT_PAGE_SIZE;
    let after = "";
    for (;;) {
      signal.throwIfAborted();
      if (revision > this.#history.revision) throw futureRevisionError(revision, this.#history.revision);
      if (revision < this.#history.compactedAt) return yield { kind: "compacted" };
      const entries = this.#history.entries(query, { revision, limit, after });
      yield { kind: "page", entries, revision };
      if (entries.length < limit) return;
      after = entries.at(-1)?.key ?? "";
    }
  }

  async txn(request: TxnRequest, signal: AbortSignal): Promise<TxnOutcome> {
    signal.throwIfAborted();
    checkTxn(request);
    const { compare = [], ops, otherwise = [] } = request;
    if (!compare.every((each) => this.#holds(each))) {
      const found = otherwise.map(({ key }) => this.#history.entry(key));
      return { kind: "refused", revision: this.#history.revision, found };
    }
    for (const op of ops) {
      if (op.kind === "put" && op.leaseId !== undefined) this.#checkLease(op.leaseId);
    }
    const { events, results } = stage(ops, this.#history);
    this.#commit(events);
    return { kind: "committed", revision: this.#history.revision, results };
  }

  async *watch(query: WatchQuery, signal: AbortSignal): AsyncGenerator<WatchMessage> {
    checkKey("key" in query ? query.key : query.prefix);
    let nextRevision = query.fromRevision;
    while (!signal.aborted) {
      if (nextRevision < this.#history.compactedAt) {
        return yield { kind: "compacted", at: this.#history.compactedAt };
      }
      const events = this.#history.eventsSince(query, nextRevision);
      if (nextRevision <= this.#history.revision) nextRevision = this.#history.revision + 1n;
      if (events.length > 0) {
        yield { kind: "events", events, nextRevision };
      } else {
        await this.#committed.wait(signal);
      }
    }
  }

  /** Compacts all revisions before this one. */
  compact(revision: bigint): void {
    this.#history.compact(revision);
    this.#committed.notifyAll();
  }

  /** Cancels the timers of all leases. */
  close(): void {
    this.leases.close();
  }

  #holds(compare: Compare): boolean {
    const entry = this.#history.entry(compare.key);
    switch (compare.kind) {
      case "absent":
        return entry === undefined;
      case "created-at":
        return (entry?.createRevision ?? 0n) === compare.revision;
      case "modified-at":
        return (entry?.modRevision ?? 0n) === compare.revision;
      default:
        return assertNever(compare);
    }
  }

  #commit(events: Staged["events"]): void {
    if (events.length === 0) return;
    for (const event of events) {
      const previous = this.#history.entry(event.key);
      if (previous?.leaseId !== undefined) this.leases.detach(previous.leaseId, event.key);
      if (event.kind === "put" && event.entry.leaseId !== undefined) {
        this.leases.attach(event.entry.leaseId, event.key);
      }
    }
    this.#history.commit(events);
    if (this.#history.length >= 2 * this.#keptRevisions) {
      this.#history.compact(this.#history.revision - BigInt(this.#keptRevisions));
    }
    this.#committed.notifyAll();
  }

  #deleteExpired(keys: ReadonlySet<string>): void {
    const ops = [...keys].map((key) => ({ kind: "delete", key }) as const);
    this.#commit(stage(ops, this.#history).events);
  }

  #checkLease(leaseId: LeaseId): void {
    if (this.leases.has(leaseId)) return;
    throw new BerthError({
      code: "BERTH_ETCD_FAILED",
      message: `lease ${leaseId} does not exist: it expired or was revoked`,
    });
  }
}

function futureRevisionError(wanted: bigint, newest: bigint): BerthError {
  return new BerthError({
    code: "BERTH_INTERNAL",
    message: `revision ${wanted} does not exist yet; the newest is ${newest}`,
  });
}

export interface Staged {
  /** The events of the next revision, one for each key, in the order of the operations. */
  readonly events: readonly WatchEvent[];
  readonly results: readonly OpResult[];
}

/** Computes the effect of a transaction on the newest revision without committing it. Later operations see earlier ones. */
export function stage(ops: readonly Op[], history: History): Staged {
  const staging = new Staging(history);
  const results = ops.map((op) => staging.apply(op));
  return { events: [...staging.events.values()], results };
}

class Staging {
  readonly events = new Map<string, WatchEvent>();
  readonly #history: History;
  readonly #revision: bigint;

  constructor(history: History) {
    this.#history = history;
    this.#revision = history.revision + 1n;
  }

  apply(op: Op): OpResult {
    switch (op.kind) {
      case "get":
        return { kind: "get", entry: this.#entry(op.key) };
      case "put":
        return this.#put(op);
      case "delete":
        return { kind: "deleted", count: this.#delete(op.key) };
      default:
        return assertNever(op);
    }
  }

  #entry(key: string): Entry | undefined {
    const event = this.events.get(key);
    if (event === undefined) return this.#history.entry(key);
    return event.kind === "put" ? event.entry : undefined;
  }

  #put({ key, value, leaseId }: Extract<Op, { kind: "put" }>): OpResult {
    const createRevision = this.#entry(key)?.createRevision ?? this.#revision;
    const entry = { key, value, createRevision, modRevision: this.#revision, ...(leaseId && { leaseId }) };
    this.events.set(key, { kind: "put", key, modRevision: this.#revision, entry });
    return { kind: "put" };
  }

  #delete(key: string): number {
    if (this.#entry(key) === undefined) return 0;
    this.events.set(key, { kind: "delete", key, modRevision: this.#revision });
    return 1;
  }
}

/** The same as in etcd with its default election timeout. */
const MIN_TTL_SECONDS = 2;
const SECOND_MS = 1_000;

interface Lease {
  readonly ttlSeconds: number;
  readonly keys: Set<string>;
  cancelExpiry: () => void;
}

export interface MemoryLeasesOptions {
  readonly clock: Clock;
  /** Deletes the keys of an ended lease in one revision. */
  readonly onEnd: (keys: ReadonlySet<string>) => void;
}

/** Leases that expire by the injected clock. */
export class MemoryLeases implements Leases {
  readonly #options: MemoryLeasesOptions;
  readonly #leases = new Map<LeaseId, Lease>();
  #granted = 0;

  constructor(options: MemoryLeasesOptions) {
    this.#options = options;
  }

  async grant(ttlSeconds: number, signal: AbortSignal): Promise<{ leaseId: LeaseId; ttlSeconds: number }> {
    signal.throwIfAborted();
    const granted = Math.max(ttlSeconds, MIN_TTL_SECONDS);
    const leaseId = String(++this.#granted);
    const cancelExpiry = this.#scheduleExpiry(leaseId, granted);
    this.#leases.set(leaseId, { ttlSeconds: granted, keys: new Set(), cancelExpiry });
    return { leaseId, ttlSeconds: granted };
  }

  async renew({ leaseId }: RenewRequest, signal: AbortSignal): Promise<RenewOutcome> {
    signal.throwIfAborted();
    const lease = this.#leases.get(leaseId);
    if (lease === undefined) return { kind: "expired" };
    lease.cancelExpiry();
    lease.cancelExpiry = this.#scheduleExpiry(leaseId, lease.ttlSeconds);
    return { kind: "renewed", ttlSeconds: lease.ttlSeconds };
  }

  async revoke(leaseId: LeaseId, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#end(leaseId);
  }

  has(leaseId: LeaseId): boolean {
    return this.#leases.has(leaseId);
  }

  /** Attaches a key to an existing lease. */
  attach(leaseId: LeaseId, key: string): void {
    this.#leases.get(leaseId)?.keys.add(key);
  }

  detach(leaseId: LeaseId, key: string): void {
    this.#leases.get(leaseId)?.keys.delete(key);
  }

  /** Cancels all timers. */
  close(): void {
    for (const lease of this.#leases.values()) lease.cancelExpiry();
    this.#leases.clear();
  }

  #scheduleExpiry(leaseId: LeaseId, ttlSeconds: number): () => void {
    return this.#options.clock.after(ttlSeconds * SECOND_MS, () => this.#end(leaseId));
  }

  #end(leaseId: LeaseId): void {
    const lease = this.#leases.get(leaseId);
    if (lease === undefined) return;
    lease.cancelExpiry();
    this.#leases.delete(leaseId);
    this.#options.onEnd(lease.keys);
  }
}
