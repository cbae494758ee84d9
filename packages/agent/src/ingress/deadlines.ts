/** How late a deadline may be noticed. One timer for all: connections come by the thousand and most are made in 1 ms. */
const TICK_MS = 25;

export interface Deadline {
  readonly deadlineMs: number;
  expire(): void;
}

/** Calls `expire` on what is not deleted in time. Has a timer only while something waits. */
export class Deadlines {
  readonly #waiting = new Set<Deadline>();
  readonly #now: () => number;
  #timer: NodeJS.Timeout | undefined;

  constructor(now: () => number) {
    this.#now = now;
  }

  add(deadline: Deadline): void {
    this.#waiting.add(deadline);
    this.#timer ??= setTimeout(() => this.#tick(), TICK_MS);
  }

  delete(deadline: Deadline): void {
    this.#waiting.delete(deadline);
  }

  #tick(): void {
    const nowMs = this.#now();
    for (const deadline of this.#waiting) {
      if (deadline.deadlineMs > nowMs) continue;
      this.#waiting.delete(deadline);
      deadline.expire();
    }
    this.#timer = this.#waiting.size === 0 ? undefined : setTimeout(() => this.#tick(), TICK_MS);
  }
}
