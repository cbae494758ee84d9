/** Whatever a leader says: not so often that it costs, not so rarely that the node counts as dead. */
const MIN_INTERVAL_MS = 50;
const MAX_INTERVAL_MS = 10_000;

export interface HeartbeatsOptions {
  readonly intervalMs: number;
  /** Told how late this process's event loop ran the timer. */
  readonly onBeat: (lagMs: number) => void;
}

/** Beats from a timer of its own, whatever Docker does. The first beat comes at once. */
export class Heartbeats {
  readonly #timer: NodeJS.Timeout;

  constructor({ intervalMs, onBeat }: HeartbeatsOptions) {
    const everyMs = Math.min(Math.max(intervalMs, MIN_INTERVAL_MS), MAX_INTERVAL_MS);
    let expectedMs = performance.now() + everyMs;
    onBeat(0);
    this.#timer = setInterval(() => {
      const nowMs = performance.now();
      onBeat(Math.max(0, Math.round(nowMs - expectedMs)));
      expectedMs = nowMs + everyMs;
    }, everyMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
