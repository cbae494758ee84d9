/** Time by which Node's timers may fire early. */
const EARLY_MS = 1;

interface Schedule {
  readonly everyMs: number;
  readonly callback: (lagMs: number) => void;
  dueMs: number;
}

export interface TickerOptions {
  /** When aborted, stops all callbacks. */
  readonly signal: AbortSignal;
  readonly now?: () => number;
}

/**
 * Runs periodic callbacks at aligned times: a callback with a period of 150 ms is due whenever the clock shows a
 * multiple of 150 ms. An idle agent spends most of its CPU time on wake-ups, so callbacks with related periods share
 * them.
 */
export class Ticker {
  readonly #now: () => number;
  readonly #schedules = new Set<Schedule>();
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor({ signal, now = () => performance.now() }: TickerOptions) {
    this.#now = now;
    const end = (): void => {
      this.#isStopped = true;
      clearTimeout(this.#timer);
    };
    if (signal.aborted) {
      end();
    } else {
      signal.addEventListener("abort", end, { once: true });
    }
  }

  /** Calls `callback` once a period, with the lateness of the timer. Returns a function that stops it. */
  every(everyMs: number, callback: (lagMs: number) => void): () => void {
    const schedule = { everyMs, callback, dueMs: nextMultiple(this.#now(), everyMs) };
    this.#schedules.add(schedule);
    this.#arm();
    return () => {
      this.#schedules.delete(schedule);
      this.#arm();
    };
  }

  /** Resolves at the next multiple of `everyMs`, or when the signal is aborted. */
  next(everyMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        stop();
        signal.removeEventListener("abort", end);
        resolve();
      };
      const stop = this.every(everyMs, end);
      if (signal.aborted) {
        end();
      } else {
        signal.addEventListener("abort", end, { once: true });
      }
    });
  }

  #arm(): void {
    clearTimeout(this.#timer);
    if (this.#isStopped || this.#schedules.size === 0) return;
    let dueMs = Number.POSITIVE_INFINITY;
    for (const schedule of this.#schedules) dueMs = Math.min(dueMs, schedule.dueMs);
    this.#timer = setTimeout(() => this.#fire(), Math.max(0, dueMs - this.#now()));
  }

  #fire(): void {
    const nowMs = this.#now();
    const due = [...this.#schedules].filter(({ dueMs }) => dueMs <= nowMs + EARLY_MS);
    const lags = due.map(({ dueMs }) => Math.max(0, nowMs - dueMs));
    for (const schedule of due) schedule.dueMs = nextMultiple(nowMs + EARLY_MS, schedule.everyMs);
    this.#arm();
    for (const [index, schedule] of due.entries()) {
      if (this.#schedules.has(schedule)) schedule.callback(lags[index] ?? 0);
    }
  }
}

function nextMultiple(nowMs: number, everyMs: number): number {
  return (Math.floor(nowMs / everyMs) + 1) * everyMs;
}
