import type { Clock } from "../runtime/clock.js";

interface Timer {
  readonly atMs: number;
  readonly run: () => void;
}

/** A clock for tests that advances only on request. */
export class ManualClock implements Clock {
  readonly #timers = new Set<Timer>();
  #nowMs = 0;

  nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { atMs: this.#nowMs + Math.max(delayMs, 0), run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Advances time and runs the due timers in order. All promise jobs of a timer run before the next timer. */
  async advance(byMs: number): Promise<void> {
    const untilMs = this.#nowMs + byMs;
    await settle();
    for (let timer = this.#nextBy(untilMs); timer !== undefined; timer = this.#nextBy(untilMs)) {
      this.#timers.delete(timer);
      this.#nowMs = Math.max(this.#nowMs, timer.atMs);
      timer.run();
      await settle();
    }
    this.#nowMs = untilMs;
  }

  /** Advances time without running timers, as for a suspended process. */
  jump(byMs: number): void {
    this.#nowMs += byMs;
  }

  #nextBy(untilMs: number): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.atMs <= untilMs && (next === undefined || timer.atMs < next.atMs)) next = timer;
    }
    return next;
  }
}

function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
