import { type Clock, sleep } from "../runtime/clock.js";

/** Sampling interval. A pause is underestimated by up to one tick, so a tick is shorter than a heartbeat may be late. */
const TICK_MS = 100;

/** Number of samples that count. They cover the longest deadline that a pause can affect. */
const MAX_SAMPLES = 40;

/** Measures the lag of the leader's event loop. A heartbeat may have waited this long before the leader read it. */
export class LagMeter {
  readonly #clock: Clock;
  readonly #recentMs: number[] = [];
  #nextTickMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#nextTickMs = clock.nowMs() + TICK_MS;
  }

  /** Returns the largest lag of the last few seconds, including the current lag. */
  lagMs(): number {
    return Math.max(0, this.#clock.nowMs() - this.#nextTickMs, ...this.#recentMs);
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#nextTickMs = this.#clock.nowMs() + TICK_MS;
      await sleep(this.#clock, TICK_MS, signal);
      this.#recentMs.push(Math.max(0, this.#clock.nowMs() - this.#nextTickMs));
      if (this.#recentMs.length > MAX_SAMPLES) this.#recentMs.shift();
    }
  }
}
