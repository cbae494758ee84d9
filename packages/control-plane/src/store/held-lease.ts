import { assertNever, BerthError, isBerthError } from "@berth/proto";
import { onAbort } from "../runtime/abort.js";
import { type Clock, sleep } from "../runtime/clock.js";
import type { LeaseId, Leases } from "./store.js";

const SECOND_MS = 1_000;

/** Number of renewals per time to live, so that one may be lost and another one slow. */
const RENEWALS_PER_TTL = 3;

/** Fraction of the time to live by which a lease counts as lost early, to allow for clock drift and late timers. */
const SAFETY_MARGIN = 0.1;

/** Pause after a failed renewal. */
const RETRY_MS = 100;

/** A lease that is renewed in the background, such as the leader's. */
export interface HeldLease {
  readonly leaseId: LeaseId;
  /** Aborts when the lease can no longer be relied on. Its reason is a BerthError. */
  readonly lost: AbortSignal;
  /** False as soon as the lease may have expired, even if the process was suspended and no timer could fire. */
  isHeld(): boolean;
  /** Aborts `lost`, then revokes the lease. If the store does not respond, the lease expires. */
  release(): Promise<void>;
}

export interface HoldLeaseOptions {
  readonly leases: Leases;
  readonly clock: Clock;
  readonly ttlSeconds: number;
}

/**
 * Creates a lease and renews it until it is lost, released, or `signal` is aborted. Its deadline counts from the moment
 * at which the last successful renewal was *sent*; the store counts from a later moment.
 *
 * @throws BerthError BERTH_ETCD_UNAVAILABLE if it cannot be granted
 */
export async function holdLease(options: HoldLeaseOptions, signal: AbortSignal): Promise<HeldLease> {
  const sentAtMs = options.clock.nowMs();
  const { leaseId, ttlSeconds } = await options.leases.grant(options.ttlSeconds, signal);
  const lease = new RenewedLease({ ...options, leaseId, ttlMs: ttlSeconds * SECOND_MS, sentAtMs });
  lease.start(signal);
  return lease;
}

interface RenewedLeaseOptions extends HoldLeaseOptions {
  readonly leaseId: LeaseId;
  readonly ttlMs: number;
  readonly sentAtMs: number;
}

class RenewedLease implements HeldLease {
  readonly leaseId: LeaseId;
  readonly #leases: Leases;
  readonly #clock: Clock;
  readonly #ttlMs: number;
  readonly #ended = new AbortController();
  #sentAtMs: number;

  constructor({ leases, clock, leaseId, ttlMs, sentAtMs }: RenewedLeaseOptions) {
    this.leaseId = leaseId;
    this.#leases = leases;
    this.#clock = clock;
    this.#ttlMs = ttlMs;
    this.#sentAtMs = sentAtMs;
  }

  get lost(): AbortSignal {
    return this.#ended.signal;
  }

  isHeld(): boolean {
    return !this.lost.aborted && this.#clock.nowMs() < this.#deadlineMs();
  }

  async release(): Promise<void> {
    this.#end("released");
    try {
      // The end of the term does not abort this call. The store's timeout limits it.
      await this.#leases.revoke(this.leaseId, new AbortController().signal);
    } catch (error) {
      if (!isBerthError(error)) throw error;
    }
  }

  start(signal: AbortSignal): void {
    const removeListener = onAbort(signal, () => this.#end("released"));
    onAbort(this.lost, removeListener);
    this.#watchDeadline();
    void this.#renewUntilLost();
  }

  #deadlineMs(): number {
    return this.#sentAtMs + this.#ttlMs * (1 - SAFETY_MARGIN);
  }

  /** Sets one timer at a time. Renewals move the deadline, so the timer is set again when it fires too early. */
  #watchDeadline(): void {
    const leftMs = this.#deadlineMs() - this.#clock.nowMs();
    if (leftMs <= 0) {
      this.#end("not renewed in time");
      return;
    }
    const cancel = this.#clock.after(leftMs, () => {
      removeListener();
      this.#watchDeadline();
    });
    const removeListener = onAbort(this.lost, cancel);
  }

  /** Renews the lease at an interval, and retries sooner while the store does not respond. */
  async #renewUntilLost(): Promise<void> {
    const intervalMs = this.#ttlMs / RENEWALS_PER_TTL;
    let waitMs = intervalMs;
    for (;;) {
      await sleep(this.#clock, waitMs, this.lost);
      if (this.lost.aborted) return;
      waitMs = (await this.#renew(intervalMs)) ? intervalMs : RETRY_MS;
    }
  }

  /** Returns whether the store responded. */
  async #renew(timeoutMs: number): Promise<boolean> {
    const sentAtMs = this.#clock.nowMs();
    try {
      const outcome = await this.#leases.renew({ leaseId: this.leaseId, timeoutMs }, this.lost);
      switch (outcome.kind) {
        case "expired":
          this.#end("expired");
          break;
        case "renewed":
          // The lease was not held after its deadline, so it must not become valid again.
          if (this.isHeld()) {
            this.#sentAtMs = sentAtMs;
          } else {
            this.#end("renewed too late");
          }
          break;
        default:
          assertNever(outcome);
      }
      return true;
    } catch {
      // The caller retries until the deadline.
      return false;
    }
  }

  #end(reason: string): void {
    if (this.lost.aborted) return;
    const message = `lost lease ${this.leaseId}: ${reason}`;
    this.#ended.abort(new BerthError({ code: "BERTH_ETCD_UNAVAILABLE", message }));
  }
}
