import { onAbort } from "../runtime/abort.js";
import type { Clock } from "../runtime/clock.js";
import { DelayQueue } from "../runtime/delay-queue.js";

/**
 * A queue of keys to process, like the work queue of Kubernetes controllers. A key is never processed twice at the same
 * time. A key that is added while it is processed is queued again afterwards. Adding a queued key has no effect.
 */
export class WorkQueue {
  readonly #ready = new Set<string>();
  readonly #working = new Set<string>();
  readonly #again = new Set<string>();
  readonly #later: DelayQueue;
  readonly #takers: ((key: string) => void)[] = [];

  constructor(clock: Clock) {
    this.#later = new DelayQueue(clock, (key) => this.add(key));
  }

  /** Number of queued keys, without delayed ones. */
  get depth(): number {
    return this.#ready.size + this.#again.size;
  }

  add(key: string): void {
    if (this.#working.has(key)) {
      this.#again.add(key);
      return;
    }
    if (this.#ready.has(key)) return;
    const taker = this.#takers.shift();
    if (taker === undefined) this.#ready.add(key);
    else taker(this.#start(key));
  }

  /** Adds the key after a delay. The earliest of several times counts. */
  addAfter(key: string, delayMs: number): void {
    this.#later.add(key, delayMs);
  }

  /** Returns the next key, which no other caller gets until `done`; undefined when `signal` aborts. */
  take(signal: AbortSignal): Promise<string | undefined> {
    if (signal.aborted) return Promise.resolve(undefined);
    for (const key of this.#ready) {
      this.#ready.delete(key);
      return Promise.resolve(this.#start(key));
    }
    return new Promise((resolve) => {
      const give = (key: string): void => {
        removeListener();
        resolve(key);
      };
      this.#takers.push(give);
      const removeListener = onAbort(signal, () => {
        this.#takers.splice(this.#takers.indexOf(give), 1);
        resolve(undefined);
      });
    });
  }

  done(key: string): void {
    this.#working.delete(key);
    if (this.#again.delete(key)) this.add(key);
  }

  /** Cancels the timer and removes all keys. */
  close(): void {
    this.#later.clear();
    this.#ready.clear();
    this.#again.clear();
  }

  #start(key: string): string {
    this.#working.add(key);
    this.#later.delete(key);
    return key;
  }
}
