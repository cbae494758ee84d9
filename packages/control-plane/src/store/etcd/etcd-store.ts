import type {
  RangePage,
  RangeQuery,
  Store,
  TxnOutcome,
  TxnRequest,
  WatchMessage,
  WatchQuery,
} from "../store.js";
import { EtcdClient, type EtcdOptions } from "./client.js";
import { rangePages, runTxn } from "./kv.js";
import { bringLeadHome } from "./lead-at-home.js";
import { EtcdLeases } from "./lease.js";
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
  bringLeadHome(signal: AbortSignal): Promise<boolean> {
    return bringLeadHome(this.#client, signal);
  }

  /** Ends all connections; what is under way fails. */
  close(): void {
    this.#client.close();
  }
}
