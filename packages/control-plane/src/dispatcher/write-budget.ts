import type { Clock } from "../runtime/clock.js";

export interface WriteBudgetOptions {
  readonly clock: Clock;
  /** Bytes that can be written at once after a pause. */
  readonly burstBytes: number;
  readonly bytesPerSecond: number;
}

/** Limits how many bytes one client writes to etcd: a token bucket that starts full. */
export class WriteBudget {
  readonly #options: WriteBudgetOptions;
  #availableBytes: number;
  #updatedMs: number;

  constructor(options: WriteBudgetOptions) {
    this.#options = options;
    this.#availableBytes = options.burstBytes;
    this.#updatedMs = options.clock.nowMs();
  }

  /** Whether nothing was written recently. A new budget is then equal to this one. */
  get isFull(): boolean {
    this.#refill();
    return this.#availableBytes === this.#options.burstBytes;
  }

  /** Returns how long to wait until `bytes` can be written; 0 when they can be written now. */
  delayMs(bytes: number): number {
    this.#refill();
    const missingBytes = Math.min(bytes, this.#options.burstBytes) - this.#availableBytes;
    return Math.max(0, Math.ceil((missingBytes / this.#options.bytesPerSecond) * 1_000));
  }

  /** Records a write. */
  spend(bytes: number): void {
    this.#refill();
    this.#availableBytes -= bytes;
  }

  #refill(): void {
    const { clock, burstBytes, bytesPerSecond } = this.#options;
    const nowMs = clock.nowMs();
    const gained = ((nowMs - this.#updatedMs) / 1_000) * bytesPerSecond;
    this.#availableBytes = Math.min(burstBytes, this.#availableBytes + gained);
    this.#updatedMs = nowMs;
  }
}
