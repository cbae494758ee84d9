/** Maximum number of probes in a check. A lost datagram must not make a server count as down. */
const MAX_PROBES = 2;
/** Minimum time between two checks of a server. */
const CHECK_INTERVAL_MS = 500;
/** How long a server counts as down after a check. Queries meanwhile fail at once. */
const DOWN_MS = 3_000;
/** Bounds the memory. Containers may have servers of their own. */
const MAX_SERVERS = 1_000;

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
 * Tracks which name servers do not respond at all. A client may query domains whose own servers never respond, so a
 * query that times out only starts a check that probes the server. Any response counts.
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
    const state = this.#stateOf(server);
    state.answeredMs = this.#options.now();
    state.downUntilMs = Number.NEGATIVE_INFINITY;
  }

  /** Starts a check, unless the server answered another query since this one was sent. */
  recordTimeout(server: string, sentMs: number): void {
    if (this.#stateOf(server).answeredMs < sentMs) void this.#check(server);
  }

  /** Records that a query was not sent because the server is down. A check finds out when the server is back. */
  recordSkipped(server: string): void {
    void this.#check(server);
  }

  async #check(server: string): Promise<void> {
    const { now, probe } = this.#options;
    const state = this.#stateOf(server);
    const startMs = now();
    if (startMs < state.nextCheckMs) return;
    state.nextCheckMs = Number.POSITIVE_INFINITY;
    for (let sent = 0; sent < MAX_PROBES && state.answeredMs < startMs; sent += 1) await probe(server);
    if (state.answeredMs < startMs) state.downUntilMs = now() + DOWN_MS;
    state.nextCheckMs = now() + CHECK_INTERVAL_MS;
  }

  #stateOf(server: string): ServerState {
    const existing = this.#states.get(server);
    if (existing !== undefined) return existing;
    for (const oldest of this.#states.keys()) {
      if (this.#states.size < MAX_SERVERS) break;
      this.#states.delete(oldest);
    }
    const never = Number.NEGATIVE_INFINITY;
    const state: ServerState = { answeredMs: never, downUntilMs: never, nextCheckMs: never };
    this.#states.set(server, state);
    return state;
  }
}
