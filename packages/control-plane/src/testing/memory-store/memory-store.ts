import { assertNever, BerthError } from "@berth/proto";
import type { Clock } from "../../runtime/clock.js";
import { checkKey, checkTxn } from "../../store/check-txn.js";
import type {
  Compare,
  LeaseId,
  RangePage,
  RangeQuery,
  Store,
  TxnOutcome,
  TxnRequest,
  WatchMessage,
  WatchQuery,
} from "../../store/store.js";
import { Bell } from "./bell.js";
import { History } from "./history.js";
import { MemoryLeases } from "./memory-leases.js";
import { type Staged, stage } from "./stage.js";

const DEFAULT_PAGE_SIZE = 1_000;

/** As berth's embedded etcd keeps them. */
const DEFAULT_KEPT_REVISIONS = 1_000;

export interface MemoryStoreOptions {
  /** Only leases use it: the store has no timers of its own. */
  readonly clock: Clock;
  /** Older revisions are compacted, in steps of as many. */
  readonly keptRevisions?: number;
}

/**
 * The store in memory, with etcd's semantics as the contract suite checks them: multi-version reads, compaction, leases.
 * Nothing survives the process. Deterministic: what happens depends on the calls and the clock alone.
 */
export class MemoryStore implements Store {
  readonly leases: MemoryLeases;
  readonly #history = new History();
  readonly #committed = new Bell();
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
      if (revision > this.#history.revision) throw futureRevision(revision, this.#history.revision);
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
    for (const op of ops) if (op.kind === "put" && op.leaseId !== undefined) this.#checkLease(op.leaseId);
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
      if (events.length > 0) yield { kind: "events", events, nextRevision };
      else await this.#committed.next(signal);
    }
  }

  /** Forgets all revisions before this one. */
  compact(revision: bigint): void {
    this.#history.compact(revision);
    this.#committed.ring();
  }

  /** Cancels the leases' expiry. */
  close(): void {
    this.leases.close();
  }

  #holds(compare: Compare): boolean {
    const entry = this.#history.entry(compare.key);
    switch (compare.kind) {
      case "absent":
        return entry === undefined;
      case "present":
        return entry !== undefined;
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
      if (event.kind === "put" && event.entry.leaseId !== undefined)
        this.leases.attach(event.entry.leaseId, event.key);
    }
    this.#history.commit(events);
    if (this.#history.length >= 2 * this.#keptRevisions) {
      this.#history.compact(this.#history.revision - BigInt(this.#keptRevisions));
    }
    this.#committed.ring();
  }

  #deleteExpired(keys: ReadonlySet<string>): void {
    const ops = [...keys].map((key) => ({ kind: "delete", key }) as const);
    this.#commit(stage(ops, this.#history).events);
  }

  #checkLease(leaseId: LeaseId): void {
    if (this.leases.has(leaseId)) return;
    throw new BerthError({
      code: "BERTH_ETCD_FAILED",
      message: `The store has no lease ${leaseId}: it expired or was revoked.`,
    });
  }
}

function futureRevision(wanted: bigint, newest: bigint): BerthError {
  return new BerthError({
    code: "BERTH_INTERNAL",
    message: `Revision ${wanted} of the store was asked for; the newest is ${newest}.`,
  });
}
