import { readFileSync } from "node:fs";

/** Descriptors for everything but connections and listeners: the control socket, child processes, files. */
const RESERVED_FDS = 512;
/** Upper bound of the reserve on hosts with a low limit. */
const RESERVED_SHARE = 0.25;
const TCP_SHARE = 0.7;
const WAITING_SHARE = 0.05;
export const MAX_UDP_FLOWS = 65_536;
/** The POSIX minimum, for when the limit cannot be read. */
const FALLBACK_FD_LIMIT = 1_024;
/** A problem is reported for this long after its last occurrence, and logged this often at most. */
const PROBLEM_MS = 60_000;

/** Maximum number of connections of each kind. */
export interface FdBudget {
  /** TCP connections: two descriptors each. */
  readonly connections: number;
  /** Clients that wait for a connection to end: one descriptor each. */
  readonly waiting: number;
  /** UDP flows: one descriptor each. */
  readonly flows: number;
}

/** Divides the process's file descriptors. Each listener uses one. */
export function fdBudget(limit: number, listeners: number): FdBudget {
  const reserved = Math.min(RESERVED_FDS, limit * RESERVED_SHARE);
  const available = Math.max(0, limit - reserved - listeners);
  const tcp = available * TCP_SHARE;
  const waiting = available * WAITING_SHARE;
  return {
    connections: Math.floor(tcp / 2),
    waiting: Math.floor(waiting),
    flows: Math.min(MAX_UDP_FLOWS, Math.floor(available - tcp - waiting)),
  };
}

/** Returns the soft limit of open files. Node raises it to the hard limit at start. */
export function openFileLimit(): number {
  try {
    const line = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"));
    return Number(line?.[1] ?? FALLBACK_FD_LIMIT);
  } catch {
    return FALLBACK_FD_LIMIT;
  }
}

/** Counts resources in use, such as connections, against a limit that may change. */
export class Quota {
  readonly #limit: () => number;
  #used = 0;

  /** @param limit returns the current limit */
  constructor(limit: () => number) {
    this.#limit = limit;
  }

  /** Returns false when the limit is reached. After true, call `release` once. */
  take(): boolean {
    if (this.#used >= this.#limit()) return false;
    this.#used += 1;
    return true;
  }

  release(): void {
    this.#used -= 1;
  }

  get used(): number {
    return this.#used;
  }
}

const RESOURCE_ERRORS: ReadonlySet<string> = new Set([
  "EMFILE",
  "ENFILE",
  "ENOBUFS",
  "ENOMEM",
  "EADDRNOTAVAIL",
]);

/** Returns whether this host ran out of descriptors, ports or memory: such an error says nothing about the endpoint. */
export function isResourceError(code: string): boolean {
  return RESOURCE_ERRORS.has(code);
}

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
        `published ports on this host have ${connections} open connections, the most that the limit of ${limit} open files allows; new connections wait up to 3 s and are then refused: ${ADVICE}`,
    );
  }

  /** Records that the kernel could not hand over a connection. */
  recordAcceptFailure(code: string): void {
    this.#record(
      () =>
        `connections to published ports on this host are lost: the ingress process has no free file descriptors (${code}): ${ADVICE}`,
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

const ADVICE = `raise LimitNOFILE= in the agent's unit (or ulimit -Hn), restart the agent, and end the ingress process (pid ${process.pid}); the agent starts a new one`;
