import type { Quota } from "./counters.js";
import type { Deadline, Deadlines } from "./deadlines.js";

/** As long as a client waits for an endpoint: most that connect then have given up after some seconds more. */
const WAIT_MS = 3_000;

export interface AdmissionOptions {
  /** Connections that are served at a time. */
  readonly served: Quota;
  /** Clients that wait at a time. */
  readonly waiting: Quota;
  readonly deadlines: Deadlines;
  now(): number;
  /** Somebody could not be served at once. */
  onShortage(): void;
}

interface Waiter extends Deadline {
  isWaiting: boolean;
  onPlace(): void;
}

/**
 * Who is served, who waits and who is refused when the file descriptors run short: a short rush is served late instead
 * of not at all. libuv cannot stop accepting without closing the port, so clients wait here, with one descriptor each.
 */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #queue = new Set<Waiter>();
  #isAdmitting = false;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** Connections that are served or wait. */
  get used(): number {
    return this.#options.served.used + this.#queue.size;
  }

  /** True: serve it, and call `release` once it has ended. */
  take(): boolean {
    return this.#queue.size === 0 && this.#options.served.take();
  }

  /**
   * For who got no place: one of the two is called within 3 s, unless the returned function is called before; `onPlace` as
   * if `take` had given true. Undefined: too many wait already.
   */
  wait(onPlace: () => void, onRefused: () => void): (() => void) | undefined {
    const { waiting, deadlines, now, onShortage } = this.#options;
    onShortage();
    if (!waiting.take()) return undefined;
    const waiter: Waiter = {
      deadlineMs: now() + WAIT_MS,
      isWaiting: true,
      onPlace,
      expire: () => {
        this.#leave(waiter);
        onRefused();
      },
    };
    this.#queue.add(waiter);
    deadlines.add(waiter);
    return () => this.#leave(waiter);
  }

  release(): void {
    const { served } = this.#options;
    served.release();
    // Whoever gets a place may give it back at once, having found no endpoint: the loop takes care of that, too.
    if (this.#isAdmitting) return;
    this.#isAdmitting = true;
    for (const waiter of this.#queue) {
      if (!served.take()) break;
      this.#leave(waiter);
      waiter.onPlace();
    }
    this.#isAdmitting = false;
  }

  #leave(waiter: Waiter): void {
    if (!this.#queue.delete(waiter)) return;
    waiter.isWaiting = false;
    this.#options.waiting.release();
  }
}
