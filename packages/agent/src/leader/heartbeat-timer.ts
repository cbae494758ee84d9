import { scaleTiming } from "@berth/proto";
import type { Ticker } from "../runtime/ticker.js";

/** Minimum heartbeat interval, so that heartbeats cost little whatever the leader requests. */
const MIN_INTERVAL_MS = 50;
/** Maximum heartbeat interval, so that the node still counts as up. */
const MAX_INTERVAL_MS = scaleTiming(10_000);

export interface HeartbeatTimerOptions {
  readonly intervalMs: number;
  readonly ticker: Pick<Ticker, "every">;
  /** Called with the timer's lateness and the current interval. */
  readonly onHeartbeat: (lagMs: number, intervalMs: number) => void;
}

/** Calls `onHeartbeat` at once and then at the interval that the leader sets. */
export class HeartbeatTimer {
  readonly #options: HeartbeatTimerOptions;
  #cancel: () => void = () => {};
  #lagMs = 0;
  #intervalMs: number;

  constructor(options: HeartbeatTimerOptions) {
    this.#options = options;
    this.#intervalMs = options.intervalMs;
    this.sendNow();
    this.setInterval(options.intervalMs);
  }

  setInterval(intervalMs: number): void {
    this.#cancel();
    this.#intervalMs = Math.min(Math.max(intervalMs, MIN_INTERVAL_MS), MAX_INTERVAL_MS);
    this.#cancel = this.#options.ticker.every(this.#intervalMs, (lagMs) => {
      this.#lagMs = Math.round(lagMs);
      this.sendNow();
    });
  }

  /** Sends an extra heartbeat. */
  sendNow(): void {
    this.#options.onHeartbeat(this.#lagMs, this.#intervalMs);
  }

  stop(): void {
    this.#cancel();
  }
}
