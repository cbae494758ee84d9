import { BerthError, isBerthError } from "@berth/proto";
import { onAbort } from "../runtime/abort.js";
import { type Clock, sleep } from "../runtime/clock.js";
import type { LeaseId, Leases } from "./store.js";

const SECOND_MS = 1_000;

/** Three renewals fit into one time to live, so that one may be lost and one be slow. */
const RENEWALS_PER_TTL = 3;

/** Authority ends this part of the time to live before the lease can: for clocks that drift and timers that fire late. */
const MARGIN = 0.1;

/** Between a failed renewal and the next attempt. */
const RETRY_MS = 100;

export interface HeldLease {
  readonly leaseId: LeaseId;
  /** Aborts when the lease can no longer be relied on, with the reason as its BerthError. */
  readonly lost: AbortSignal;
  /** False as soon as the lease may have run out, even when no timer could fire because the process stood still. */
  isHeld(): boolean;
  /** Lets go: `lost` aborts first, then the lease and its keys are removed, or left to expire when the store does not answer. */
  release(): Promise<void>;
}

export interface HoldLeaseOptions {
  readonly leases: Leases;
  readonly clock: Clock;
  readonly ttlSeconds: number;
}

/**
 * Takes a lease and renews it until it is lost, released or `signal` aborts.
 * It is held until the time to live after *sending* the last renewal that was answered: the store counts from later.
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
    this.#end("was released");
    try {
      await this.#leases.revoke(this.leaseId, NEVER);
    } catch (error) {
      if (!isBerthError(error)) throw error;
    }
  }

  start(signal: AbortSignal): void {
    const forget = onAbort(signal, () => this.#end("was given up"));
    onAbort(this.lost, forget);
    this.#guardDeadline();
    void this.#renewUntilLost();
  }

  #deadlineMs(): number {
    return this.#sentAtMs + this.#ttlMs * (1 - MARGIN);
  }

  /** One timer at a time: when it fires early because of renewals, it is set again for the rest. */
  #guardDeadline(): void {
    const leftMs = this.#deadlineMs() - this.#clock.nowMs();
    if (leftMs <= 0) {
      this.#end("could not be renewed in time");
      return;
    }
    const cancel = this.#clock.after(leftMs, () => {
      forget();
      this.#guardDeadline();
    });
    const forget = onAbort(this.lost, cancel);
  }

  async #renewUntilLost(): Promise<void> {
    const intervalMs = this.#ttlMs / RENEWALS_PER_TTL;
    let waitMs = intervalMs;
    for (;;) {
      await sleep(this.#clock, waitMs, this.lost);
      if (this.lost.aborted) return;
      waitMs = (await this.#renew(intervalMs)) ? intervalMs : RETRY_MS;
    }
  }

  async #renew(timeoutMs: number): Promise<boolean> {
    const sentAtMs = this.#clock.nowMs();
    try {
      const outcome = await this.#leases.renew({ leaseId: this.leaseId, timeoutMs }, this.lost);
      if (outcome.kind === "expired") this.#end("has expired");
      // Once past its deadline it was not held for a while, and must not come back as if it had been.
      else if (!this.isHeld()) this.#end("was renewed too late");
      else this.#sentAtMs = sentAtMs;
      return true;
    } catch {
      // Whatever went wrong, the deadline decides how long to go on trying.
      return false;
    }
  }

  #end(what: string): void {
    if (this.lost.aborted) return;
    const message = `The lease ${this.leaseId} ${what}; what depends on it must stop.`;
    this.#ended.abort(new BerthError({ code: "BERTH_ETCD_UNAVAILABLE", message }));
  }
}

/** Letting go is short, by the store's own deadline, and goes on after everything else was told to stop. */
const NEVER = new AbortController().signal;
