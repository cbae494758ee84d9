import type { Clock } from "../../runtime/clock.js";
import type { LeaseId, Leases, RenewOutcome, RenewRequest } from "../../store/store.js";

/** As etcd with its default election timeout. */
const MIN_TTL_SECONDS = 2;
const SECOND_MS = 1_000;

interface Lease {
  readonly ttlSeconds: number;
  readonly keys: Set<string>;
  cancelExpiry: () => void;
}

export interface MemoryLeasesOptions {
  readonly clock: Clock;
  /** Deletes the keys of a lease that ended, in one revision. */
  readonly onEnd: (keys: ReadonlySet<string>) => void;
}

/** Leases that expire on the injected clock. */
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

  /** Ties a key to a lease that exists. */
  attach(leaseId: LeaseId, key: string): void {
    this.#leases.get(leaseId)?.keys.add(key);
  }

  detach(leaseId: LeaseId, key: string): void {
    this.#leases.get(leaseId)?.keys.delete(key);
  }

  /** Cancels every expiry; nothing fires on the clock any more. */
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
