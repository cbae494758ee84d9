import { onAbort } from "../runtime/abort.js";
import type { Clock } from "../runtime/clock.js";
import { DelayQueue } from "../runtime/delay-queue.js";

/**
 * Keys that need work. A key is never worked on twice at once, and never lost: added while it is worked on, it comes up
 * again when that is done. Adding a key that waits already changes nothing.
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

  /** Keys that wait, not counting those for later. */
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

  /** Adds the key after a while; the earliest of several times counts. */
  addAfter(key: string, delayMs: number): void {
    this.#later.add(key, delayMs);
  }

  /** The next key, which is the caller's until `done`; undefined when `signal` aborts. */
  take(signal: AbortSignal): Promise<string | undefined> {
    if (signal.aborted) return Promise.resolve(undefined);
    for (const key of this.#ready) {
      this.#ready.delete(key);
      return Promise.resolve(this.#start(key));
    }
    return new Promise((resolve) => {
      const give = (key: string): void => {
        forget();
        resolve(key);
      };
      this.#takers.push(give);
      const forget = onAbort(signal, () => {
        this.#takers.splice(this.#takers.indexOf(give), 1);
        resolve(undefined);
      });
    });
  }

  done(key: string): void {
    this.#working.delete(key);
    if (this.#again.delete(key)) this.add(key);
  }

  /** Ends the timer. Keys that wait are forgotten. */
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
