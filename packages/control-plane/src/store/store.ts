import type { BerthError } from "@berth/proto";

/** A key and its value at one revision. */
export interface Entry {
  readonly key: string;
  readonly value: string;
  /** Revision of the transaction that created the key; a key deleted and put again gets a new one. */
  readonly createRevision: bigint;
  /** Revision of the transaction that last wrote the key. */
  readonly modRevision: bigint;
  /** The key is deleted when this lease ends. */
  readonly leaseId?: LeaseId;
}

/** A decimal int64 in etcd; opaque to callers. */
export type LeaseId = string;

/** The keys of a read or a watch: one key, or every key that starts with a prefix. */
export type Span = { readonly key: string } | { readonly prefix: string };

export type RangeQuery = Span & {
  /** @default the newest revision */
  readonly revision?: bigint;
  /** Number of entries per page. Default: chosen by the size of the values. */
  readonly pageSize?: number;
};

/** One page of a range read. All pages of a read have the same revision. */
export type RangePage =
  | { readonly kind: "page"; readonly entries: readonly Entry[]; readonly revision: bigint }
  /** The revision was compacted during the read, which ends. Read again at the newest revision. */
  | { readonly kind: "compacted" };

/** A condition of a transaction on one key. The revisions of a key that does not exist are 0. */
export type Compare =
  | { readonly kind: "absent"; readonly key: string }
  | { readonly kind: "created-at"; readonly key: string; readonly revision: bigint }
  | { readonly kind: "modified-at"; readonly key: string; readonly revision: bigint };

export interface GetOp {
  readonly kind: "get";
  readonly key: string;
}

export type Op =
  | GetOp
  | { readonly kind: "put"; readonly key: string; readonly value: string; readonly leaseId?: LeaseId }
  | { readonly kind: "delete"; readonly key: string };

/** Applies all `ops` in one revision if every comparison holds. Otherwise writes nothing and reads `otherwise`. */
export interface TxnRequest {
  readonly compare?: readonly Compare[];
  readonly ops: readonly Op[];
  readonly otherwise?: readonly GetOp[];
}

/** The result of one operation. Results are in the order of the operations. */
export type OpResult =
  | { readonly kind: "get"; readonly entry: Entry | undefined }
  | { readonly kind: "put" }
  | { readonly kind: "deleted"; readonly count: number };

export type TxnOutcome =
  | { readonly kind: "committed"; readonly revision: bigint; readonly results: readonly OpResult[] }
  | { readonly kind: "refused"; readonly revision: bigint; readonly found: readonly (Entry | undefined)[] }
  /** The connection broke or the call timed out, and the transaction may have been committed. Read before a retry. */
  | { readonly kind: "unknown"; readonly cause: BerthError };

export type WatchQuery = Span & {
  /** The first revision to report: one after that of the preceding range read. */
  readonly fromRevision: bigint;
};

export type WatchEvent =
  | { readonly kind: "put"; readonly key: string; readonly modRevision: bigint; readonly entry: Entry }
  | { readonly kind: "delete"; readonly key: string; readonly modRevision: bigint };

/** A watch ends after `compacted` and `disconnected`. */
export type WatchMessage =
  /** Events in the order of their revisions. A transaction is never split. Resume from `nextRevision`. */
  | { readonly kind: "events"; readonly events: readonly WatchEvent[]; readonly nextRevision: bigint }
  /** Events before `at` were compacted, and some may have been missed: list again. */
  | { readonly kind: "compacted"; readonly at: bigint }
  | { readonly kind: "disconnected"; readonly cause: BerthError; readonly nextRevision: bigint };

export interface RenewRequest {
  readonly leaseId: LeaseId;
  /** Timeout of a renewal. Shorter than the timeout of other calls, because a late renewal is useless. */
  readonly timeoutMs?: number;
}

export type RenewOutcome =
  | { readonly kind: "renewed"; readonly ttlSeconds: number }
  /** The lease has ended, and its keys were deleted. */
  | { readonly kind: "expired" };

/**
 * Leases delete their keys unless they are renewed. A lease helps liveness but does not prove ownership: guard writes
 * with a comparison of the leased key's create revision.
 */
export interface Leases {
  /** Creates a lease. The granted time to live may be longer than requested (etcd: at least 2 s). */
  grant(ttlSeconds: number, signal: AbortSignal): Promise<{ leaseId: LeaseId; ttlSeconds: number }>;
  /** Restarts the time to live of a lease. */
  renew(request: RenewRequest, signal: AbortSignal): Promise<RenewOutcome>;
  /** Deletes the lease and its keys in one revision. Succeeds if the lease has ended already. */
  revoke(leaseId: LeaseId, signal: AbortSignal): Promise<void>;
}

/**
 * A strictly serializable, multi-version key-value store with watches and leases.
 *
 * Keys are printable ASCII below one prefix (see keys.ts) and sort by byte; values are text. Every call has a timeout
 * (3 s in etcd) and ends when `signal` is aborted. Errors:
 *
 * - BERTH_ETCD_UNAVAILABLE: a read or lease call got no answer
 * - BERTH_STORE_LIMIT: the request is too large
 * - BERTH_INTERNAL: the request is invalid
 * - the signal's reason: the call was aborted
 */
export interface Store {
  /** Reads pages in key order. Yields at least one, so that the revision is known. */
  range(query: RangeQuery, signal: AbortSignal): AsyncIterable<RangePage>;
  /** Runs a transaction. `checkTxn` describes its limits. */
  txn(request: TxnRequest, signal: AbortSignal): Promise<TxnOutcome>;
  /** Streams changes until `signal` is aborted, which ends the stream without a message. */
  watch(query: WatchQuery, signal: AbortSignal): AsyncIterable<WatchMessage>;
  readonly leases: Leases;
}
