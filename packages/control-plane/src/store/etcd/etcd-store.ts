import { isBerthError } from "@berth/proto";
import type { IKeyValue, ILeaseKeepAliveResponse, IRangeRequest, IRangeResponse } from "etcd3";
import { checkKey, checkTxn } from "../check-txn.js";
import type { EtcdTls } from "../etcd-tls.js";
import type {
  LeaseId,
  Leases,
  RangePage,
  RangeQuery,
  RenewOutcome,
  RenewRequest,
  Store,
  TxnOutcome,
  TxnRequest,
  WatchMessage,
  WatchQuery,
} from "../store.js";
import { EtcdClient, type EtcdOptions, isCompacted, isLeaseGone } from "./client.js";
import { decodeEntry, decodeFirst, decodeResult, encodeCompare, encodeOp, encodeSpan } from "./codec.js";
import { EtcdMaintenance } from "./etcd-maintenance.js";
import { EtcdMembers } from "./etcd-members.js";
import { watchSpan } from "./watch.js";

/** Number of keys on the first page, when the size of the values is still unknown. */
const FIRST_PAGE_SIZE = 1_000;

/**
 * Target size of a page. etcd 3.4 walks the index of the rest of the range for each page, so small pages make a long
 * read quadratic. Decoding a page of this size blocks the event loop for about 50 ms.
 */
const PAGE_BYTES = 8 * 1024 * 1024;

/** Maximum number of keys on a page. */
const MAX_PAGE_SIZE = 50_000;

/** The store in an etcd cluster, version 3.4 or later. Connections are opened by the first call. */
export class EtcdStore implements Store {
  readonly leases: EtcdLeases;
  readonly members: EtcdMembers;
  readonly maintenance: EtcdMaintenance;
  readonly #client: EtcdClient;

  constructor(options: EtcdOptions) {
    this.#client = new EtcdClient(options);
    this.members = new EtcdMembers(this.#client);
    this.maintenance = new EtcdMaintenance(this.#client);
    this.leases = new EtcdLeases(this.#client);
  }

  /** Reads a range page by page at the revision of the first page. Requests the next page while the caller reads one. */
  async *range(query: RangeQuery, signal: AbortSignal): AsyncGenerator<RangePage> {
    checkKey("key" in query ? query.key : query.prefix);
    const span = encodeSpan(query);
    let { revision } = query;
    const first = { ...span, limit: query.pageSize ?? FIRST_PAGE_SIZE, revision: String(revision ?? 0n) };
    let page: Promise<IRangeResponse | undefined> | undefined = this.#readPage(first, signal);
    while (page !== undefined) {
      const response: IRangeResponse | undefined = await page;
      if (response === undefined) return yield { kind: "compacted" };
      revision ??= BigInt(response.header.revision);
      const last: IKeyValue | undefined = response.more ? response.kvs.at(-1) : undefined;
      page =
        last &&
        this.#readPage(
          {
            ...span,
            key: Buffer.concat([last.key, Buffer.of(0)]),
            limit: query.pageSize ?? fittingPageSize(response.kvs),
            revision: String(revision),
          },
          signal,
        );
      // Prevents an unhandled rejection if iteration stops early.
      page?.catch(() => undefined);
      yield { kind: "page", entries: response.kvs.map(decodeEntry), revision };
    }
  }

  /** Reads one page and tries each member once. Returns undefined if the revision is compacted. */
  async #readPage(request: IRangeRequest, signal: AbortSignal): Promise<IRangeResponse | undefined> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#client.call(({ calls }) => calls.kv.range(request), signal);
      } catch (error) {
        if (isCompacted(error)) return undefined;
        if (attempt >= this.#client.memberCount || !isBerthError(error, "BERTH_ETCD_UNAVAILABLE")) {
          throw error;
        }
      }
    }
  }

  /** Sends the transaction once, since a repeated transaction could be committed twice. */
  async txn(request: TxnRequest, signal: AbortSignal): Promise<TxnOutcome> {
    checkTxn(request);
    const { compare = [], ops, otherwise = [] } = request;
    const encoded = {
      compare: compare.map(encodeCompare),
      success: ops.map(encodeOp),
      failure: otherwise.map(encodeOp),
    };
    try {
      const response = await this.#client.call(({ calls }) => calls.kv.txn(encoded), signal);
      const revision = BigInt(response.header.revision);
      if (!response.succeeded) {
        return { kind: "refused", revision, found: response.responses.map(decodeFirst) };
      }
      const results = response.responses.flatMap((result, index) =>
        ops.slice(index, index + 1).map((op) => decodeResult(op, result)),
      );
      return { kind: "committed", revision, results };
    } catch (error) {
      if (isBerthError(error, "BERTH_ETCD_UNAVAILABLE")) return { kind: "unknown", cause: error };
      throw error;
    }
  }

  watch(query: WatchQuery, signal: AbortSignal): AsyncGenerator<WatchMessage> {
    return watchSpan(this.#client, query, signal);
  }

  /**
   * Makes the member of the first endpoint etcd's leader. Writes pause for a few milliseconds, and requests in that
   * time may get no response.
   *
   * @returns whether another member was the leader
   * @throws BerthError BERTH_ETCD_UNAVAILABLE or BERTH_ETCD_FAILED if etcd's leader did not move
   */
  async moveLeader(signal: AbortSignal): Promise<boolean> {
    const client = this.#client;
    const [first, ...others] = client.members;
    if (first === undefined || others.length === 0) return false;
    const { header, leader } = await client.callMember(
      first,
      ({ calls }) => calls.maintenance.status(),
      signal,
    );
    const targetID = header.member_id;
    if (leader === targetID) return false;
    for (const member of others) {
      const status = await client
        .callMember(member, ({ calls }) => calls.maintenance.status(), signal)
        .catch(() => undefined);
      signal.throwIfAborted();
      if (status?.header.member_id !== leader) continue;
      // Only the leader itself accepts this call.
      await client.callMember(member, ({ calls }) => calls.maintenance.moveLeader({ targetID }), signal);
      return true;
    }
    return false;
  }

  /**
   * Prepares a restart of the member of the first endpoint: moves etcd's leader to another responsive member if
   * necessary, and sends later calls to another member until this one has restarted. Without other members, does
   * nothing.
   *
   * @throws BerthError BERTH_ETCD_UNAVAILABLE or BERTH_ETCD_FAILED if etcd's leader did not move
   */
  async leaveFirstMember(signal: AbortSignal): Promise<void> {
    const client = this.#client;
    const [first, ...others] = client.members;
    if (first === undefined || others.length === 0) return;
    const ownStatus = await client.callMember(first, ({ calls }) => calls.maintenance.status(), signal);
    if (ownStatus.leader === ownStatus.header.member_id) {
      const statuses = await Promise.all(
        others.map((member) =>
          client.callMember(member, ({ calls }) => calls.maintenance.status(), signal).catch(() => undefined),
        ),
      );
      signal.throwIfAborted();
      const targetID = statuses.find((status) => status !== undefined)?.header.member_id;
      if (targetID !== undefined) {
        await client.callMember(first, ({ calls }) => calls.maintenance.moveLeader({ targetID }), signal);
      }
    }
    client.failOver(first);
  }

  /** Uses these endpoints from now on. Calls and watches in progress continue. */
  updateEndpoints(endpoints: readonly [string, ...string[]]): void {
    this.#client.updateEndpoints(endpoints);
  }

  /**
   * Uses a renewed certificate, or other authorities, for later calls and streams. Watches and calls in progress
   * continue.
   *
   * @throws for a certificate that TLS cannot use; the current one then stays in use
   */
  updateTls(tls: EtcdTls): void {
    this.#client.updateTls(tls);
  }

  /** Closes all connections. Calls in progress fail. */
  close(): void {
    this.#client.close();
  }
}

/** Returns how many entries fit into a page if they are as large as the last ones. */
function fittingPageSize(kvs: readonly IKeyValue[]): number {
  const bytes = kvs.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
  return Math.min(Math.ceil((PAGE_BYTES * kvs.length) / bytes), MAX_PAGE_SIZE);
}

/** The leases of the store. */
class EtcdLeases implements Leases {
  readonly #client: EtcdClient;

  constructor(client: EtcdClient) {
    this.#client = client;
  }

  async grant(ttlSeconds: number, signal: AbortSignal): Promise<{ leaseId: LeaseId; ttlSeconds: number }> {
    const { ID, TTL } = await this.#client.call(
      ({ calls }) => calls.leaseClient.leaseGrant({ TTL: ttlSeconds }),
      signal,
    );
    return { leaseId: ID, ttlSeconds: Number(TTL) };
  }

  /** Renews a lease on a new stream, since a broken long-lived stream can go unnoticed. */
  async renew({ leaseId, timeoutMs }: RenewRequest, signal: AbortSignal): Promise<RenewOutcome> {
    const deadline = Date.now() + (timeoutMs ?? this.#client.callTimeoutMs);
    const response = await this.#client.call(async ({ renewals }) => {
      const stream = await renewals.leaseClient.leaseKeepAlive({ deadline });
      return new Promise<ILeaseKeepAliveResponse>((resolve, reject) => {
        stream.on("error", reject);
        stream.on("end", () => reject(new Error("the stream ended without a response")));
        stream.on("data", resolve);
        stream.write({ ID: leaseId });
        stream.end();
      });
    }, signal);
    const ttlSeconds = Number(response.TTL);
    return ttlSeconds > 0 ? { kind: "renewed", ttlSeconds } : { kind: "expired" };
  }

  async revoke(leaseId: LeaseId, signal: AbortSignal): Promise<void> {
    try {
      await this.#client.call(({ calls }) => calls.leaseClient.leaseRevoke({ ID: leaseId }), signal);
    } catch (error) {
      if (!isLeaseGone(error)) throw error;
    }
  }
}
