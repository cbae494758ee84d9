/** How long a problem is reported after its last occurrence, and the minimum time between two log lines. */
const PROBLEM_MS = 60_000;

const EXHAUSTION_ADVICE = `raise LimitNOFILE= in the agent's unit (or ulimit -Hn), restart the agent, and end the ingress process (pid ${process.pid}); the agent starts a new one`;

/** Reports that connections had to wait or were lost because the process has no free file descriptors. */
export class FdExhaustion {
  readonly #now: () => number;
  readonly #warn: (problem: string) => void;
  #last: { readonly atMs: number; readonly problem: () => string } | undefined;
  #warnedMs = Number.NEGATIVE_INFINITY;

  /** @param warn called once a minute at most */
  constructor(now: () => number, warn: (problem: string) => void) {
    this.#now = now;
    this.#warn = warn;
  }

  /** Message for users, for a minute after the last occurrence. */
  get problem(): string | undefined {
    return this.#last !== undefined && this.#now() - this.#last.atMs < PROBLEM_MS
      ? this.#last.problem()
      : undefined;
  }

  /** Records that a connection had to wait because the limit is reached. */
  recordLimitReached(connections: number, limit: number): void {
    this.#record(
      () =>
        `published ports on this host have ${connections} open connections, the maximum for its limit of ${limit} open files; new connections wait for up to 3 s and are then refused: ${EXHAUSTION_ADVICE}`,
    );
  }

  /** Records that the kernel could not hand over a connection. */
  recordAcceptFailure(code: string): void {
    this.#record(
      () =>
        `connections to published ports on this host are lost: the ingress process has no free file descriptors (${code}): ${EXHAUSTION_ADVICE}`,
    );
  }

  #record(problem: () => string): void {
    const nowMs = this.#now();
    this.#last = { atMs: nowMs, problem };
    if (nowMs - this.#warnedMs < PROBLEM_MS) return;
    this.#warnedMs = nowMs;
    this.#warn(problem());
  }
}
