import { type Clock, sleep } from "../runtime/clock.js";

/** A pause is measured too short by up to a tick, so a tick is shorter than what a heartbeat may be late by. */
const TICK_MS = 100;

/** How long a hiccup counts: as long as the deadlines that it can have spoiled. */
const REMEMBERED_TICKS = 40;

/** How late the event loop of this process runs: messages that have arrived may lie unread for so long. */
export class LagMeter {
  readonly #clock: Clock;
  readonly #recentMs: number[] = [];
  #nextTickMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#nextTickMs = clock.nowMs() + TICK_MS;
  }

  /** The worst of the last few seconds, that of this very moment included. */
  lagMs(): number {
    return Math.max(0, this.#clock.nowMs() - this.#nextTickMs, ...this.#recentMs);
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#nextTickMs = this.#clock.nowMs() + TICK_MS;
      await sleep(this.#clock, TICK_MS, signal);
      this.#recentMs.push(Math.max(0, this.#clock.nowMs() - this.#nextTickMs));
      if (this.#recentMs.length > REMEMBERED_TICKS) this.#recentMs.shift();
    }
  }
}
