/** How late a deadline may be noticed. One timer for all: connections come by the thousand and most are made in 1 ms. */
const TICK_MS = 25;

export interface Deadline {
  /** May move while it waits. */
  readonly deadlineMs: number;
  readonly isWaiting: boolean;
  expire(): void;
}

/**
 * Calls `expire` on what still waits after its deadline. What waits no more is dropped at the next tick instead of being
 * taken out, which costs less than any set: most connections are made long before.
 */
export class Deadlines {
  readonly #now: () => number;
  #waiting: Deadline[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(now: () => number) {
    this.#now = now;
  }

  add(deadline: Deadline): void {
    this.#waiting.push(deadline);
    this.#timer ??= setTimeout(() => this.#tick(), TICK_MS);
  }

  #tick(): void {
    const nowMs = this.#now();
    const due = this.#waiting.filter((deadline) => deadline.isWaiting);
    this.#waiting = due;
    for (const deadline of due) {
      if (deadline.deadlineMs <= nowMs && deadline.isWaiting) deadline.expire();
    }
    this.#timer = this.#waiting.length === 0 ? undefined : setTimeout(() => this.#tick(), TICK_MS);
  }
}
