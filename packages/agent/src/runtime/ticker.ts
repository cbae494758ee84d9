/** Node's timers may come up to a millisecond before their time. */
const EARLY_MS = 1;

interface Beat {
  readonly everyMs: number;
  readonly act: (lagMs: number) => void;
  dueMs: number;
}

export interface TickerOptions {
  /** Ends all of it. */
  readonly signal: AbortSignal;
  readonly now?: () => number;
}

/**
 * What an agent does all day in small steps, at common times: whatever is due every so many milliseconds is due when
 * the clock shows a multiple of them. What a step costs is mostly the waking up, and three steps at once cost little
 * more than one.
 */
export class Ticker {
  readonly #now: () => number;
  readonly #beats = new Set<Beat>();
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor({ signal, now = () => performance.now() }: TickerOptions) {
    this.#now = now;
    const end = (): void => {
      this.#isOver = true;
      clearTimeout(this.#timer);
    };
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
  }

  /** Acts again and again, and is told how late it is. @returns how to end it */
  every(everyMs: number, act: (lagMs: number) => void): () => void {
    const beat = { everyMs, act, dueMs: nextMultiple(this.#now(), everyMs) };
    this.#beats.add(beat);
    this.#arm();
    return () => {
      this.#beats.delete(beat);
      this.#arm();
    };
  }

  /** Resolves at the next multiple of `everyMs`, or when the signal fires. */
  next(everyMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        stop();
        signal.removeEventListener("abort", end);
        resolve();
      };
      const stop = this.every(everyMs, end);
      if (signal.aborted) end();
      else signal.addEventListener("abort", end, { once: true });
    });
  }

  #arm(): void {
    clearTimeout(this.#timer);
    if (this.#isOver || this.#beats.size === 0) return;
    let dueMs = Number.POSITIVE_INFINITY;
    for (const beat of this.#beats) dueMs = Math.min(dueMs, beat.dueMs);
    this.#timer = setTimeout(() => this.#fire(), Math.max(0, dueMs - this.#now()));
  }

  #fire(): void {
    const nowMs = this.#now();
    const due = [...this.#beats].filter(({ dueMs }) => dueMs <= nowMs + EARLY_MS);
    const lags = due.map(({ dueMs }) => Math.max(0, nowMs - dueMs));
    for (const beat of due) beat.dueMs = nextMultiple(nowMs + EARLY_MS, beat.everyMs);
    this.#arm();
    for (const [index, beat] of due.entries()) if (this.#beats.has(beat)) beat.act(lags[index] ?? 0);
  }
}

function nextMultiple(nowMs: number, everyMs: number): number {
  return (Math.floor(nowMs / everyMs) + 1) * everyMs;
}
