import type { Logger } from "pino";

/** Collects the problems of one reconciliation pass, and logs the problems that the previous pass did not have. */
export class ProblemLog {
  readonly #log: Logger;
  #previous: ReadonlySet<string> = new Set();
  #current = new Set<string>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Whether the current pass has had no problem. */
  get isEmpty(): boolean {
    return this.#current.size === 0;
  }

  startPass(): void {
    this.#previous = this.#current;
    this.#current = new Set();
  }

  /**
   * Adds a problem and returns its message.
   *
   * @param network undefined if it does not concern a single network
   */
  add(network: string | undefined, error: unknown): string {
    const reason = error instanceof Error ? error.message : String(error);
    const key = `${network ?? ""} ${reason}`;
    const isKnown = this.#previous.has(key) || this.#current.has(key);
    if (!isKnown) this.#log.warn({ network, reason }, "network reconciliation failed");
    this.#current.add(key);
    return reason;
  }
}
