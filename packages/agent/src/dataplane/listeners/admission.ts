import type { Deadline, DeadlineTimer } from "./deadline-timer.js";
import type { Quota } from "./quota.js";

/**
 * Maximum time that a client waits for admission. As long as the dial timeout, so that a client that also waits for an
 * endpoint is refused within 6 s.
 */
const MAX_WAIT_MS = 3_000;

export interface AdmissionOptions {
  /** Quota of connections that are being served. */
  readonly served: Quota;
  /** Quota of clients that wait for admission. */
  readonly waiting: Quota;
  readonly deadlines: DeadlineTimer;
  now(): number;
  /** Called for each client that cannot be served at once. */
  onLimitReached(): void;
}

interface Waiter extends Deadline {
  isWaiting: boolean;
  onAdmitted(): void;
}

/**
 * Limits the TCP connections that the user-space proxy serves at a time. Clients beyond the limit wait for up to 3 s:
 * a short burst is served late instead of refused. libuv cannot stop accepting without closing the socket, so waiting
 * clients are accepted and hold one descriptor each.
 */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #queue = new Set<Waiter>();
  #isAdmitting = false;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** Number of connections that are served or wait. */
  get used(): number {
    return this.#options.served.used + this.#queue.size;
  }

  /** Returns true when the connection may be served now. Then call `release` once it has ended. */
  tryAcquire(): boolean {
    return this.#queue.size === 0 && this.#options.served.tryAcquire();
  }

  /**
   * Queues a client that `tryAcquire` rejected. Within 3 s, calls `onAdmitted` (as if `tryAcquire` had returned true) or
   * `onRefused`. Returns a function that leaves the queue, or undefined if the queue is full.
   */
  wait(onAdmitted: () => void, onRefused: () => void): (() => void) | undefined {
    const { waiting, deadlines, now, onLimitReached } = this.#options;
    onLimitReached();
    if (!waiting.tryAcquire()) return undefined;
    const waiter: Waiter = {
      deadlineMs: now() + MAX_WAIT_MS,
      isWaiting: true,
      onAdmitted,
      expire: () => {
        this.#leave(waiter);
        onRefused();
      },
    };
    this.#queue.add(waiter);
    deadlines.add(waiter);
    return () => this.#leave(waiter);
  }

  /** Ends a served connection and admits waiting clients. */
  release(): void {
    const { served } = this.#options;
    served.release();
    // An admitted client without an endpoint releases its place at once: this loop continues, without recursion.
    if (this.#isAdmitting) return;
    this.#isAdmitting = true;
    for (const waiter of this.#queue) {
      if (!served.tryAcquire()) break;
      this.#leave(waiter);
      waiter.onAdmitted();
    }
    this.#isAdmitting = false;
  }

  #leave(waiter: Waiter): void {
    if (!this.#queue.delete(waiter)) return;
    waiter.isWaiting = false;
    this.#options.waiting.release();
  }
}
