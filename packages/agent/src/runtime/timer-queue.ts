/** Maximum delay of a Node timer. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/** Calls `onDue` with each key at the time set for it. Uses one timer for all keys. */
export class TimerQueue {
  readonly #dueAtMs = new Map<string, number>();
  readonly #onDue: (key: string) => void;
  readonly #now: () => number;
  #timer: NodeJS.Timeout | undefined;
  /** When the timer fires. */
  #timerAtMs = Number.POSITIVE_INFINITY;

  constructor({ onDue, now }: { onDue: (key: string) => void; now: () => number }) {
    this.#onDue = onDue;
    this.#now = now;
  }

  /** Sets when the key is due. Replaces an earlier time. */
  set(key: string, atMs: number): void {
    this.#dueAtMs.set(key, atMs);
    if (atMs < this.#timerAtMs) this.#arm(atMs);
  }

  /** Removes the key. The timer stays armed and finds nothing to do. */
  clear(key: string): void {
    this.#dueAtMs.delete(key);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#dueAtMs.clear();
  }

  #arm(atMs: number): void {
    clearTimeout(this.#timer);
    this.#timerAtMs = atMs;
    if (atMs === Number.POSITIVE_INFINITY) return;
    const delayMs = Math.min(Math.max(atMs - this.#now(), 0), MAX_DELAY_MS);
    this.#timer = setTimeout(() => this.#fire(), delayMs);
  }

  #fire(): void {
    const nowMs = this.#now();
    let nextAtMs = Number.POSITIVE_INFINITY;
    const due: string[] = [];
    for (const [key, atMs] of this.#dueAtMs) {
      if (atMs <= nowMs) {
        due.push(key);
      } else {
        nextAtMs = Math.min(nextAtMs, atMs);
      }
    }
    for (const key of due) this.#dueAtMs.delete(key);
    this.#arm(nextAtMs);
    for (const key of due) this.#onDue(key);
  }
}
