/** One answer may be lost and one lookup may be slow. After three timeouts in a row, a server counts as down. */
const MAX_TIMEOUTS = 3;
/** How long a server counts as down. Queries meanwhile fail at once. */
const DOWN_MS = 3_000;

interface Timeouts {
  readonly count: number;
  readonly downUntilMs: number;
}

/** Tracks which name servers have not answered the forwarder recently. */
export class UpstreamHealth {
  readonly #timeouts = new Map<string, Timeouts>();
  readonly #now: () => number;

  /** @param now monotonic clock, in ms */
  constructor(now: () => number) {
    this.#now = now;
  }

  isDown(server: string): boolean {
    const timeouts = this.#timeouts.get(server);
    return timeouts !== undefined && timeouts.count >= MAX_TIMEOUTS && this.#now() < timeouts.downUntilMs;
  }

  recordAnswer(server: string): void {
    this.#timeouts.delete(server);
  }

  recordTimeout(server: string): void {
    const count = (this.#timeouts.get(server)?.count ?? 0) + 1;
    this.#timeouts.set(server, { count, downUntilMs: this.#now() + DOWN_MS });
  }
}
