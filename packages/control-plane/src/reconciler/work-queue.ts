import { onAbort } from "../runtime/abort.js";
import type { Clock } from "../runtime/clock.js";
import { DelayQueue } from "../runtime/delay-queue.js";

/**
 * A queue of keys to process, like the work queue of Kubernetes controllers. A key is never processed twice at the same
 * time. A key that is added while it is processed is queued again afterwards. Adding a queued key has no effect.
 */
export class WorkQueue {
  readonly #ready = new Set<string>();
  readonly #processing = new Set<string>();
  readonly #requeued = new Set<string>();
  readonly #delayed: DelayQueue;
  readonly #waiters: ((key: string) => void)[] = [];

  constructor(clock: Clock) {
    this.#delayed = new DelayQueue(clock, (key) => this.add(key));
  }

  /** Number of queued keys, without delayed ones. */
  get depth(): number {
    return this.#ready.size + this.#requeued.size;
  }

  add(key: string): void {
    if (this.#processing.has(key)) {
      this.#requeued.add(key);
      return;
    }
    if (this.#ready.has(key)) return;
    const waiter = this.#waiters.shift();
    if (waiter === undefined) {
      this.#ready.add(key);
    } else {
      waiter(this.#start(key));
    }
  }

  /** Adds the key after a delay. With several delays for one key, the earliest time counts. */
  addAfter(key: string, delayMs: number): void {
    this.#delayed.add(key, delayMs);
  }

  /** Waits for the next key and marks it as processed until `done`. Returns undefined if `signal` is aborted. */
  take(signal: AbortSignal): Promise<string | undefined> {
    if (signal.aborted) return Promise.resolve(undefined);
    for (const key of this.#ready) {
      this.#ready.delete(key);
      return Promise.resolve(this.#start(key));
    }
    return new Promise((resolve) => {
      const deliver = (key: string): void => {
        removeListener();
        resolve(key);
      };
      this.#waiters.push(deliver);
      const removeListener = onAbort(signal, () => {
        this.#waiters.splice(this.#waiters.indexOf(deliver), 1);
        resolve(undefined);
      });
    });
  }

  /** Ends the processing of a key. */
  done(key: string): void {
    this.#processing.delete(key);
    if (this.#requeued.delete(key)) this.add(key);
  }

  /** Cancels the timer and removes all keys. */
  close(): void {
    this.#delayed.clear();
    this.#ready.clear();
    this.#requeued.clear();
  }

  #start(key: string): string {
    this.#processing.add(key);
    this.#delayed.delete(key);
    return key;
  }
}
