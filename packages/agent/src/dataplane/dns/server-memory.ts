/** One answer may get lost, and one may take long to find; three in a row say that nobody is there. */
const MAX_SILENCES = 3;
/** Whoever asks meanwhile is told at once that it failed. */
const DOWN_MS = 3_000;

interface Silence {
  readonly count: number;
  readonly untilMs: number;
}

/** Which of the servers that others are asked have been silent of late. */
export class UpstreamHealth {
  readonly #silences = new Map<string, Silence>();
  readonly #now: () => number;

  /** @param now milliseconds, from any beginning */
  constructor(now: () => number) {
    this.#now = now;
  }

  isDown(server: string): boolean {
    const silence = this.#silences.get(server);
    return silence !== undefined && silence.count >= MAX_SILENCES && this.#now() < silence.untilMs;
  }

  answered(server: string): void {
    this.#silences.delete(server);
  }

  wasSilent(server: string): void {
    const count = (this.#silences.get(server)?.count ?? 0) + 1;
    this.#silences.set(server, { count, untilMs: this.#now() + DOWN_MS });
  }
}
