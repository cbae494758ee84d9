/** Changes within this time of the last message share the next one. The first change after a pause is sent at once. */
const MIN_DELAY_MS = 20;

/**
 * The delay doubles up to this while changes keep coming: 100,000 tasks that are created one by one would otherwise
 * cost as many messages. Starting a container takes longer than this delay.
 */
const MAX_DELAY_MS = 320;

/**
 * The longest delay while the leader has a backlog of decisions. A thousand agents cost it as many messages each time,
 * and the last agent gets its tasks sooner when the backlog is written sooner.
 */
const MAX_BACKLOG_DELAY_MS = 1_280;

/** Decides when the next assignments are sent, so that changes that come close together share a message. */
export class Coalescer {
  #sentAtMs = Number.NEGATIVE_INFINITY;
  #delayMs = MIN_DELAY_MS;

  /** Returns when changes may be sent. Changes of the traffic tables are never delayed by a backlog of tasks. */
  dueMs(isTraffic: boolean): number {
    return this.#sentAtMs + (isTraffic ? MIN_DELAY_MS : this.#delayMs);
  }

  /** Records that assignments were sent, and picks the next delay. */
  recordSent(nowMs: number, hasBacklog: boolean): void {
    // During a backlog, an agent is only sent something now and then, so a long gap is not a pause.
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
