/** Whatever a leader says: not so often that it costs, not so rarely that the node counts as dead. */
const MIN_INTERVAL_MS = 50;
const MAX_INTERVAL_MS = 10_000;

export interface HeartbeatsOptions {
  readonly intervalMs: number;
  /** Told how late this process's event loop ran the timer, and how often it is to run. */
  readonly onBeat: (lagMs: number, intervalMs: number) => void;
}

/** Beats from a timer of its own, whatever Docker does. The first beat comes at once. */
export class Heartbeats {
  readonly #onBeat: HeartbeatsOptions["onBeat"];
  #timer: NodeJS.Timeout | undefined;
  #lagMs = 0;
  #everyMs: number;

  constructor({ intervalMs, onBeat }: HeartbeatsOptions) {
    this.#onBeat = onBeat;
    this.#everyMs = intervalMs;
    this.beatNow();
    this.setInterval(intervalMs);
  }

  setInterval(intervalMs: number): void {
    clearInterval(this.#timer);
    const everyMs = Math.min(Math.max(intervalMs, MIN_INTERVAL_MS), MAX_INTERVAL_MS);
    this.#everyMs = everyMs;
    let expectedMs = performance.now() + everyMs;
    this.#timer = setInterval(() => {
      const nowMs = performance.now();
      this.#lagMs = Math.max(0, Math.round(nowMs - expectedMs));
      expectedMs = nowMs + everyMs;
      this.beatNow();
    }, everyMs);
  }

  /** One beat more. */
  beatNow(): void {
    this.#onBeat(this.#lagMs, this.#everyMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
