/**
 * Maximum number of open requests to an agent that never responds. Older requests can be dropped, because the
 * acknowledgement of a later request covers them.
 */
const MAX_OPEN_REQUESTS = 64;

/**
 * Tracks which version of the traffic tables one agent has applied, and which version it must acknowledge next. Part of
 * the agent's session. The drain gate uses the result.
 */
export class TableAcks {
  /** Table versions by the sequence of the assignments that carried them, oldest first. */
  readonly #openRequests = new Map<number, number>();
  #neededVersion = 0;
  #requestedVersion = 0;
  #appliedVersion = 0;

  /** The latest version that the agent has acknowledged; 0 before the first acknowledgement. */
  get appliedVersion(): number {
    return this.#appliedVersion;
  }

  /** Whether the next assignments have to request an acknowledgement. */
  get isDue(): boolean {
    return this.#neededVersion > Math.max(this.#requestedVersion, this.#appliedVersion);
  }

  /** Requires an acknowledgement of this version, or of a later one. */
  requireAck(version: number): void {
    this.#neededVersion = Math.max(this.#neededVersion, version);
  }

  /** Records that assignments with this sequence carry `version` and request an acknowledgement. */
  recordRequest(sequence: number, version: number): void {
    this.#requestedVersion = version;
    this.#openRequests.set(sequence, version);
    const [oldest] = this.#openRequests.keys();
    if (this.#openRequests.size > MAX_OPEN_REQUESTS && oldest !== undefined) {
      this.#openRequests.delete(oldest);
    }
  }

  /** Records that the agent has applied everything up to `sequence`. Returns whether its table version grew. */
  recordAck(sequence: number): boolean {
    const before = this.#appliedVersion;
    for (const [requestSequence, version] of this.#openRequests) {
      if (requestSequence > sequence) break;
      this.#openRequests.delete(requestSequence);
      this.#appliedVersion = Math.max(this.#appliedVersion, version);
    }
    return this.#appliedVersion > before;
  }
}
