/**
 * Shortest delay between two messages. Changes within this time share one message. After a pause, a change is sent at
 * once.
 */
const MIN_DELAY_MS = 20;

/**
 * Longest delay between two messages. The delay doubles while changes keep coming. Otherwise, 100,000 tasks that are
 * created one by one would cost 100,000 messages. Starting a container takes longer than this delay.
 */
const MAX_DELAY_MS = 320;

/**
 * Longest delay while the leader has a backlog of decisions. Fewer messages leave the leader more time to write the
 * backlog, so that the last agent gets its tasks sooner.
 */
const MAX_BACKLOG_DELAY_MS = 1_280;

/** Decides when a session sends its next assignments. Changes that follow each other quickly share a message. */
export class Coalescer {
  #sentAtMs = Number.NEGATIVE_INFINITY;
  #delayMs = MIN_DELAY_MS;

  /** Returns when changes may be sent. Changes of the traffic tables are never delayed by a backlog of tasks. */
  dueMs(isTraffic: boolean): number {
    return this.#sentAtMs + (isTraffic ? MIN_DELAY_MS : this.#delayMs);
  }

  /** Records that assignments were sent, and picks the next delay. */
  recordSent(nowMs: number, hasBacklog: boolean): void {
    // During a backlog, a long gap between two messages does not mean that changes have stopped.
    const wasIdle = !hasBacklog && nowMs - this.#sentAtMs > this.#delayMs + MIN_DELAY_MS;
    const maxMs = hasBacklog ? MAX_BACKLOG_DELAY_MS : MAX_DELAY_MS;
    this.#delayMs = wasIdle ? MIN_DELAY_MS : Math.min(maxMs, this.#delayMs * 2);
    this.#sentAtMs = nowMs;
  }

  /** Returns to the shortest delay. */
  reset(): void {
    this.#delayMs = MIN_DELAY_MS;
  }
}
