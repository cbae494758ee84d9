/** How often deadlines are checked. One timer serves thousands of them, and most are met within 1 ms. */
const TICK_MS = 25;

/** A deadline of a connection attempt or of a waiting client. */
export interface Deadline {
  /** May change while the deadline is pending. */
  readonly deadlineMs: number;
  /** Whether something still waits for the deadline. If not, the deadline is dropped at the next tick. */
  readonly isWaiting: boolean;
  expire(): void;
}

/**
 * Calls `expire` on deadlines that have passed. Finished deadlines stay in the list until the next tick, which costs
 * less than removing each from a set.
 */
export class DeadlineTimer {
  readonly #now: () => number;
  #pending: Deadline[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(now: () => number) {
    this.#now = now;
  }

  add(deadline: Deadline): void {
    this.#pending.push(deadline);
    this.#timer ??= setTimeout(() => this.#tick(), TICK_MS);
  }

  #tick(): void {
    const nowMs = this.#now();
    const pending = this.#pending.filter((deadline) => deadline.isWaiting);
    this.#pending = pending;
    for (const deadline of pending) {
      if (deadline.deadlineMs <= nowMs && deadline.isWaiting) deadline.expire();
    }
    this.#timer = this.#pending.length === 0 ? undefined : setTimeout(() => this.#tick(), TICK_MS);
  }
}
