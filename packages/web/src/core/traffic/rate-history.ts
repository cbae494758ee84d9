/** Counts per second between two reports of a counter. */
export interface Rate {
  /** When the later report was made. */
  readonly atMs: number;
  readonly perSecond: number;
  /** The part that failed. */
  readonly failedPerSecond: number;
}

/** Values of counters that only grow, and the part that failed. */
export interface CountReport {
  readonly atMs: number;
  readonly count: number;
  readonly failed: number;
}

/** Number of rates that are kept. With a report each second, they reach back two minutes. */
const MAX_RATES = 120;

/** The rates of the last minutes, for a chart. */
export class RateHistory {
  #rates: readonly Rate[] = [];
  #last: CountReport | undefined;

  /** The rates, oldest first. */
  get rates(): readonly Rate[] {
    return this.#rates;
  }

  /** Adds the rate since the previous report. A report that is not newer than the previous one is ignored. */
  add(report: CountReport): void {
    const last = this.#last;
    if (last !== undefined && report.atMs <= last.atMs) return;
    this.#last = report;
    if (last === undefined) return;
    const perSecond = (after: number, before: number): number =>
      (Math.max(0, after - before) * 1_000) / (report.atMs - last.atMs);
    const rate = {
      atMs: report.atMs,
      perSecond: perSecond(report.count, last.count),
      failedPerSecond: perSecond(report.failed, last.failed),
    };
    this.#rates = [...this.#rates, rate].slice(-MAX_RATES);
  }
}
