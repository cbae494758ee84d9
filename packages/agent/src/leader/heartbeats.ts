import type { Ticker } from "../runtime/ticker.js";

/** Whatever a leader says: not so often that it costs, not so rarely that the node counts as dead. */
const MIN_INTERVAL_MS = 50;
const MAX_INTERVAL_MS = 10_000;

export interface HeartbeatsOptions {
  readonly intervalMs: number;
  readonly pulse: Pick<Ticker, "every">;
  /** Told how late this process's event loop ran the timer, and how often it is to run. */
  readonly onBeat: (lagMs: number, intervalMs: number) => void;
}

/** Beats from a timer, whatever Docker does. The first beat comes at once. */
export class Heartbeats {
  readonly #onBeat: HeartbeatsOptions["onBeat"];
  readonly #pulse: HeartbeatsOptions["pulse"];
  #stop: () => void = () => {};
  #lagMs = 0;
  #everyMs: number;

  constructor({ intervalMs, pulse, onBeat }: HeartbeatsOptions) {
    this.#onBeat = onBeat;
    this.#pulse = pulse;
    this.#everyMs = intervalMs;
    this.beatNow();
    this.setInterval(intervalMs);
  }

  setInterval(intervalMs: number): void {
    this.#stop();
    const everyMs = Math.min(Math.max(intervalMs, MIN_INTERVAL_MS), MAX_INTERVAL_MS);
    this.#everyMs = everyMs;
    this.#stop = this.#pulse.every(everyMs, (lagMs) => {
      this.#lagMs = Math.round(lagMs);
      this.beatNow();
    });
  }

  /** One beat more. */
  beatNow(): void {
    this.#onBeat(this.#lagMs, this.#everyMs);
  }

  stop(): void {
    this.#stop();
  }
}
