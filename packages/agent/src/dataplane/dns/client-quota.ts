export interface QuotaLimits {
  readonly perClient: number;
  /** A container can send queries with source addresses of its network's other containers. */
  readonly perNetwork: number;
  readonly total: number;
}

export interface QuotaClient {
  /** Source address of the query. */
  readonly address: string;
  /** Address of this host at which the client sends its queries: one for each network. */
  readonly gateway: string;
}

/**
 * Limits concurrent DNS queries per client, per network and in total. A client that has reached its limit is rejected
 * without affecting other clients.
 */
export class ClientQuota {
  readonly #limits: QuotaLimits;
  /** Number of queries in flight by client and by network. Contains no zeros. */
  readonly #used = new Map<string, number>();
  #total = 0;

  constructor(limits: QuotaLimits) {
    this.#limits = limits;
  }

  /** Returns false if a limit is reached. Otherwise, the caller must call `release` once. */
  tryAcquire(client: QuotaClient): boolean {
    const { perClient, perNetwork, total } = this.#limits;
    const [clientKey, networkKey] = keysOf(client);
    if (this.#total >= total) return false;
    if (this.#count(clientKey) >= perClient || this.#count(networkKey) >= perNetwork) return false;
    this.#add(client, 1);
    return true;
  }

  release(client: QuotaClient): void {
    this.#add(client, -1);
  }

  #count(key: string): number {
    return this.#used.get(key) ?? 0;
  }

  #add(client: QuotaClient, change: 1 | -1): void {
    this.#total += change;
    for (const key of keysOf(client)) {
      const count = this.#count(key) + change;
      if (count === 0) this.#used.delete(key);
      else this.#used.set(key, count);
    }
  }
}

function keysOf({ address, gateway }: QuotaClient): readonly [client: string, network: string] {
  return [`${gateway} ${address}`, gateway];
}
