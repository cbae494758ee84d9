/** A shortage that is over for so long is no news any more; one that lasts is told of as often. */
const REMEMBERED_MS = 60_000;

/** Knows whether connections had to wait lately because the process has no more file descriptors. */
export class FdExhaustion {
  readonly #now: () => number;
  readonly #say: (problem: string) => void;
  #last: { readonly atMs: number; readonly problem: () => string } | undefined;
  #saidMs = Number.NEGATIVE_INFINITY;

  /** @param say called at most once a minute */
  constructor(now: () => number, say: (problem: string) => void) {
    this.#now = now;
    this.#say = say;
  }

  /** For a person; undefined: all is well. */
  get problem(): string | undefined {
    return this.#last !== undefined && this.#now() - this.#last.atMs < REMEMBERED_MS
      ? this.#last.problem()
      : undefined;
  }

  /** All places are taken. */
  full(connections: number, limit: number): void {
    this.#note(
      () =>
        `published ports here serve ${connections} connections, as many as the limit of ${limit} open files allows: new ones wait up to 3 s for one of them to end, and are refused then; ${ADVICE}`,
    );
  }

  /** The kernel could not hand a connection over. */
  failed(code: string): void {
    this.#note(
      () =>
        `connections to published ports here are lost: the ingress process has no more files (${code}); ${ADVICE}`,
    );
  }

  #note(problem: () => string): void {
    const nowMs = this.#now();
    this.#last = { atMs: nowMs, problem };
    if (nowMs - this.#saidMs < REMEMBERED_MS) return;
    this.#saidMs = nowMs;
    this.#say(problem());
  }
}

const ADVICE = `raise LimitNOFILE= in the agent's unit, or ulimit -Hn before it starts, restart it, and end the ingress process (${process.pid}): the agent starts another one`;
