import { isBerthError } from "@berth/proto";
import type { IKeyValue, ILeaseKeepAliveResponse, IRangeRequest, IRangeResponse } from "etcd3";
import { checkKey, checkTxn } from "../check-txn.js";
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
import { watchSpan } from "./watch.js";

export type { EtcdOptions, EtcdTls } from "./client.js";

/** The store on an etcd cluster, 3.4 or newer. Opening it connects nothing yet. */
export class EtcdStore implements Store {
  readonly leases: EtcdLeases;
  readonly #client: EtcdClient;

  constructor(options: EtcdOptions) {
    this.#client = new EtcdClient(options);
    this.leases = new EtcdLeases(this.#client);
  }

  range(query: RangeQuery, signal: AbortSignal): AsyncGenerator<RangePage> {
    return rangePages(this.#client, query, signal);
  }

  txn(request: TxnRequest, signal: AbortSignal): Promise<TxnOutcome> {
    return runTxn(this.#client, request, signal);
  }

  watch(query: WatchQuery, signal: AbortSignal): AsyncGenerator<WatchMessage> {
    return watchSpan(this.#client, query, signal);
  }

  /** Moves the lead of etcd's cluster to the first endpoint's member; false: it was there. See bringLeadHome. */
  moveLeader(signal: AbortSignal): Promise<boolean> {
    return moveLeader(this.#client, signal);
  }

  /** Ends all connections; what is under way fails. */
  close(): void {
    this.#client.close();
  }
}

/** The first page, when nothing is known yet about the size of the values. */
const FIRST_PAGE_SIZE = 1_000;

/**
 * etcd 3.4 walks the index of the whole rest of a range for every page, so small pages make a long list quadratic; a
 * page this large takes some 50 ms to decode, and the event loop waits for it.
 */
const PAGE_BYTES = 8 * 1024 * 1024;
const MAX_PAGE_SIZE = 50_000;

/** Store.range on etcd: the first page fixes the revision, the others go on after the last key seen. */
export async function* rangePages(
  client: EtcdClient,
  query: RangeQuery,
  signal: AbortSignal,
): AsyncGenerator<RangePage> {
  checkKey("key" in query ? query.key : query.prefix);
  const span = encodeSpan(query);
  let { revision } = query;
  const first = { ...span, limit: query.pageSize ?? FIRST_PAGE_SIZE, revision: String(revision ?? 0n) };
  let page: Promise<IRangeResponse | undefined> | undefined = readPage(client, first, signal);
  while (page !== undefined) {
    const response: IRangeResponse | undefined = await page;
    if (response === undefined) return yield { kind: "compacted" };
    revision ??= BigInt(response.header.revision);
    const last: IKeyValue | undefined = response.more ? response.kvs.at(-1) : undefined;
    // etcd works on the next page while this one is taken in.
    page = last && readPage(client, nextPage(query, span, { last, response, revision }), signal);
    // Whoever stops here has no use for it; whoever goes on meets its error above.
    page?.catch(() => undefined);
    yield { kind: "page", entries: response.kvs.map(decodeEntry), revision };
  }
}

interface PageRead {
  readonly last: IKeyValue;
  readonly response: IRangeResponse;
  readonly revision: bigint;
}

/** Goes on after the last key of a page, at the revision of the first. */
function nextPage(
  { pageSize }: RangeQuery,
  span: ReturnType<typeof encodeSpan>,
  { last, response, revision }: PageRead,
): IRangeRequest {
  return {
    ...span,
    key: Buffer.concat([last.key, Buffer.of(0)]),
    limit: pageSize ?? fittingPageSize(response.kvs),
    revision: String(revision),
  };
}

/** As many entries as fit a page, if they are like the last ones. */
function fittingPageSize(kvs: readonly IKeyValue[]): number {
  const bytes = kvs.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
  return Math.min(Math.ceil((PAGE_BYTES * kvs.length) / bytes), MAX_PAGE_SIZE);
}

/** A read is harmless to repeat, so it asks every member once. Undefined: the revision is compacted. */
async function readPage(
  client: EtcdClient,
  request: IRangeRequest,
  signal: AbortSignal,
): Promise<IRangeResponse | undefined> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await client.call(({ calls }) => calls.kv.range(request), signal);
    } catch (error) {
      if (isCompacted(error)) return undefined;
      if (attempt >= client.memberCount || !isBerthError(error, "BERTH_ETCD_UNAVAILABLE")) throw error;
    }
  }
}

/** Store.txn on etcd: sent once. */
export async function runTxn(
  client: EtcdClient,
  request: TxnRequest,
  signal: AbortSignal,
): Promise<TxnOutcome> {
  checkTxn(request);
  const { compare = [], ops, otherwise = [] } = request;
  const encoded = {
    compare: compare.map(encodeCompare),
    success: ops.map(encodeOp),
    failure: otherwise.map(encodeOp),
  };
  try {
    const response = await client.call(({ calls }) => calls.kv.txn(encoded), signal);
    const revision = BigInt(response.header.revision);
    if (!response.succeeded) return { kind: "refused", revision, found: response.responses.map(decodeFirst) };
    const results = response.responses.flatMap((each, i) =>
      ops.slice(i, i + 1).map((op) => decodeResult(op, each)),
    );
    return { kind: "committed", revision, results };
  } catch (error) {
    if (isBerthError(error, "BERTH_ETCD_UNAVAILABLE")) return { kind: "unknown", cause: error };
    throw error;
  }
}

/**
 * Gives the lead of etcd's cluster to the first member, if another one has it. Nothing is written for the few
 * milliseconds that this takes; what is asked in them may get no answer.
 * @returns whether it had to be moved
 * @throws BerthError BERTH_ETCD_UNAVAILABLE or BERTH_ETCD_FAILED: it stays where it is
 */
export async function moveLeader(client: EtcdClient, signal: AbortSignal): Promise<boolean> {
  const [home, ...others] = client.members;
  if (home === undefined || others.length === 0) return false;
  const { header, leader } = await client.callAt(home, ({ calls }) => calls.maintenance.status(), signal);
  const targetID = header.member_id;
  if (leader === targetID) return false;
  for (const member of others) {
    const status = await client
      .callAt(member, ({ calls }) => calls.maintenance.status(), signal)
      .catch(() => undefined);
    signal.throwIfAborted();
    if (status?.header.member_id !== leader) continue;
    // Only the one that leads can hand over.
    await client.callAt(member, ({ calls }) => calls.maintenance.moveLeader({ targetID }), signal);
    return true;
  }
  return false;
}

/** Store.leases on etcd. */
export class EtcdLeases implements Leases {
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

  async renew({ leaseId, timeoutMs }: RenewRequest, signal: AbortSignal): Promise<RenewOutcome> {
    const deadline = Date.now() + (timeoutMs ?? this.#client.callTimeoutMs);
    const answer = await this.#client.call(async ({ renewals }) => {
      const stream = await renewals.leaseClient.leaseKeepAlive({ deadline });
      return new Promise<ILeaseKeepAliveResponse>((resolve, reject) => {
        stream.on("error", reject);
        stream.on("end", () => reject(new Error("the stream ended without an answer")));
        stream.on("data", resolve);
        stream.write({ ID: leaseId });
        // One question, one answer: a stream of its own for each renewal cannot go stale.
        stream.end();
      });
    }, signal);
    const ttlSeconds = Number(answer.TTL);
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
