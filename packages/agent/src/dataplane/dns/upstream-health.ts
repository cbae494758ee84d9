/** Maximum number of probes in a check. One lost datagram must not make a name server count as down. */
const MAX_PROBES = 2;
/** Minimum time between two checks of a name server. */
const CHECK_INTERVAL_MS = 500;
/** How long a name server counts as down after a check. Queries to it fail at once during this time. */
const DOWN_MS = 3_000;
/**
 * Maximum number of name servers to track, above which the oldest ones are forgotten. Bounds the memory, because
 * containers can configure their own name servers.
 */
const MAX_TRACKED_SERVERS = 1_000;

interface ServerState {
  answeredMs: number;
  downUntilMs: number;
  nextCheckMs: number;
}

export interface UpstreamHealthOptions {
  /** Monotonic clock, in ms. */
  readonly now: () => number;
  /** Sends a query that every server answers, and calls `recordReply` when it does. Never rejects. */
  readonly probe: (server: string) => Promise<void>;
}

/**
 * Tracks which name servers do not respond at all. One timeout does not mark a name server as down, because the query may
 * be for a domain whose authoritative servers do not respond. It starts a check that probes the name server. Any response
 * counts.
 */
export class UpstreamHealth {
  readonly #options: UpstreamHealthOptions;
  readonly #states = new Map<string, ServerState>();

  constructor(options: UpstreamHealthOptions) {
    this.#options = options;
  }

  isDown(server: string): boolean {
    const state = this.#states.get(server);
    return state !== undefined && this.#options.now() < state.downUntilMs;
  }

  recordReply(server: string): void {
    const state = this.#getOrCreateState(server);
    state.answeredMs = this.#options.now();
    state.downUntilMs = Number.NEGATIVE_INFINITY;
  }

  /** Starts a check, unless the server answered another query since this one was sent. */
  recordTimeout(server: string, sentMs: number): void {
    if (this.#getOrCreateState(server).answeredMs < sentMs) void this.#check(server);
  }

  /** Records that a query was not sent because the server is down. A check finds out when the server is back. */
  recordSkipped(server: string): void {
    void this.#check(server);
  }

  async #check(server: string): Promise<void> {
    const { now, probe } = this.#options;
    const state = this.#getOrCreateState(server);
    const startMs = now();
    if (startMs < state.nextCheckMs) return;
    state.nextCheckMs = Number.POSITIVE_INFINITY;
    for (let sent = 0; sent < MAX_PROBES && state.answeredMs < startMs; sent += 1) await probe(server);
    if (state.answeredMs < startMs) state.downUntilMs = now() + DOWN_MS;
    state.nextCheckMs = now() + CHECK_INTERVAL_MS;
  }

  #getOrCreateState(server: string): ServerState {
    const existing = this.#states.get(server);
    if (existing !== undefined) return existing;
    for (const oldest of this.#states.keys()) {
      if (this.#states.size < MAX_TRACKED_SERVERS) break;
      this.#states.delete(oldest);
    }
    const never = Number.NEGATIVE_INFINITY;
    const state: ServerState = { answeredMs: never, downUntilMs: never, nextCheckMs: never };
    this.#states.set(server, state);
    return state;
  }
}
