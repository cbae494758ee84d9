import type { BerthError } from "@berth/proto";

/** One key as it was at some revision. */
export interface Entry {
  readonly key: string;
  readonly value: string;
  /** Revision of the transaction that created the key; a key deleted and put again gets a new one. */
  readonly createRevision: bigint;
  /** Revision of the transaction that last wrote the key. */
  readonly modRevision: bigint;
  /** The lease that the key dies with, if any. */
  readonly leaseId?: LeaseId;
}

/** Opaque: a decimal int64 in etcd. */
export type LeaseId = string;

/** One key, or every key that starts with a prefix. */
export type Span = { readonly key: string } | { readonly prefix: string };

export type RangeQuery = Span & {
  /** Read as of this revision; the newest when absent. */
  readonly revision?: bigint;
  /** Entries a page; chosen by their size when absent. */
  readonly pageSize?: number;
};

/** Part of the answer of a range read. All pages of one read are of the same revision. */
export type RangePage =
  | { readonly kind: "page"; readonly entries: readonly Entry[]; readonly revision: bigint }
  /** The revision has been forgotten; the last message of the read. Read again at the newest revision. */
  | { readonly kind: "compacted" };

/** What a transaction demands of a key before it writes anything. An absent key counts as created and modified at 0. */
export type Compare =
  | { readonly kind: "absent"; readonly key: string }
  | { readonly kind: "present"; readonly key: string }
  | { readonly kind: "created-at"; readonly key: string; readonly revision: bigint }
  | { readonly kind: "modified-at"; readonly key: string; readonly revision: bigint };

export interface GetOp {
  readonly kind: "get";
  readonly key: string;
}

export type Op =
  | GetOp
  | { readonly kind: "put"; readonly key: string; readonly value: string; readonly leaseId?: LeaseId }
  | { readonly kind: "delete"; readonly key: string }
  | { readonly kind: "delete-prefix"; readonly prefix: string };

/** All of `ops` in one revision if every comparison holds; else nothing is written and `otherwise` is read. */
export interface TxnRequest {
  readonly compare?: readonly Compare[];
  readonly ops: readonly Op[];
  readonly otherwise?: readonly GetOp[];
}

/** The answer to the op at the same place of the request. */
export type OpResult =
  | { readonly kind: "get"; readonly entry: Entry | undefined }
  | { readonly kind: "put" }
  | { readonly kind: "deleted"; readonly count: number };

export type TxnOutcome =
  | { readonly kind: "committed"; readonly revision: bigint; readonly results: readonly OpResult[] }
  | { readonly kind: "refused"; readonly revision: bigint; readonly found: readonly (Entry | undefined)[] }
  /** The connection broke or the deadline passed: it may or may not have been committed. Read again, never resend blindly. */
  | { readonly kind: "unknown"; readonly cause: BerthError };

export type WatchQuery = Span & {
  /** The first revision to hear of: one after that of the range read it follows. */
  readonly fromRevision: bigint;
};

export type WatchEvent =
  | { readonly kind: "put"; readonly key: string; readonly modRevision: bigint; readonly entry: Entry }
  | { readonly kind: "delete"; readonly key: string; readonly modRevision: bigint };

/** `compacted` and `disconnected` are the last message of a watch. */
export type WatchMessage =
  /** In order of revision; the events of one transaction are never split. Resume from `nextRevision`. */
  | { readonly kind: "events"; readonly events: readonly WatchEvent[]; readonly nextRevision: bigint }
  /** Events before `at` have been forgotten, some of them perhaps unseen: list again. */
  | { readonly kind: "compacted"; readonly at: bigint }
  | { readonly kind: "disconnected"; readonly cause: BerthError; readonly nextRevision: bigint };

export interface RenewRequest {
  readonly leaseId: LeaseId;
  /** Gives up sooner than other calls do: a renewal is worth little once it is late. */
  readonly timeoutMs?: number;
}

export type RenewOutcome =
  | { readonly kind: "renewed"; readonly ttlSeconds: number }
  /** The lease is gone and its keys with it. */
  | { readonly kind: "expired" };

/**
 * Keys that die unless renewed. A lease is an aid to liveness, never a proof of ownership:
 * guard writes with a comparison on the leased key's create revision.
 */
export interface Leases {
  /** The granted time to live may be longer than asked for (etcd: at least 2 s). */
  grant(ttlSeconds: number, signal: AbortSignal): Promise<{ leaseId: LeaseId; ttlSeconds: number }>;
  renew(request: RenewRequest, signal: AbortSignal): Promise<RenewOutcome>;
  /** Deletes the lease and its keys in one revision. A lease that is gone already is no error. */
  revoke(leaseId: LeaseId, signal: AbortSignal): Promise<void>;
}

/**
 * A strictly serializable, multi-version key-value store with watches and leases.
 *
 * Keys are printable ASCII under one prefix (see keys.ts) and sort by byte; values are text.
 * Every call ends by a deadline of its own (3 s in etcd) and when `signal` aborts. Reads and lease calls that get
 * no answer throw BERTH_ETCD_UNAVAILABLE; requests over the limits throw BERTH_STORE_LIMIT, senseless ones BERTH_INTERNAL; an
 * aborted call throws the signal's reason.
 */
export interface Store {
  /** Reads page by page in key order. At least one message is yielded, so the revision is always known. */
  range(query: RangeQuery, signal: AbortSignal): AsyncIterable<RangePage>;
  /** At most 100 comparisons and 100 ops, no key written twice: see check-txn.ts. */
  txn(request: TxnRequest, signal: AbortSignal): Promise<TxnOutcome>;
  /** Ends without a message when `signal` aborts. */
  watch(query: WatchQuery, signal: AbortSignal): AsyncIterable<WatchMessage>;
  readonly leases: Leases;
}
