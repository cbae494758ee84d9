import type { Logger } from "pino";
import { type ProgramResult, type RunProgram, runProgram } from "../../runtime/run-program.js";
import { parseUnanswered, type UnansweredClient } from "./syn-retransmit.js";

/**
 * Maximum number of `conntrack` processes. Each reads the whole connection table: with 262,144 entries about 0.3 s of
 * CPU time.
 */
const MAX_CONCURRENT = 2;
/** Time after which a waiting deletion is skipped: its connections have ended or run into their own timeouts. */
const DEADLINE_MS = 20_000;
/** Timeout of `conntrack`. A connection table is read within seconds, so a process that takes longer hangs. */
const PROGRAM_TIMEOUT_MS = 5_000;
/** conntrack exits at the first entry that no longer exists, such as one that another conntrack has deleted. */
const ENTRY_IS_GONE = /such conntrack doesn't exist/;
/** How often a deletion that such an entry ended is run. */
const MAX_RUNS = 5;

/** Upper bound of the round-trip time between the hosts of a cluster. */
const ROUND_TRIP_MS = 100;

export interface ConntrackCleanerOptions {
  readonly log: Pick<Logger, "warn">;
  readonly signal: AbortSignal;
  /** Called with the clients whose unanswered connections were deleted. */
  readonly onUnanswered: (clients: readonly UnansweredClient[]) => Promise<void>;
  readonly run?: RunProgram;
  /** Monotonic clock, in ms. */
  readonly now?: () => number;
}

export interface ConntrackDeletion {
  /** Arguments for `conntrack`. */
  readonly args: readonly string[];
  /** Returns false when another task has the address by now. By default, the deletion always runs. */
  readonly isNeeded?: () => boolean;
}

interface QueuedDeletion extends ConntrackDeletion {
  readonly dueMs: number;
}

/**
 * Deletes conntrack entries in the background, with at most 2 programs at a time. Where `conntrack` is not installed,
 * clients wait for their own timeouts.
 *
 * The work is bounded however many endpoints go away: a deletion is queued only once, and skipped when it does not start
 * within 20 s. Docker reuses addresses within seconds, and a deletion would reset the connections of the next task. It is
 * therefore skipped when another task has its address, and killed by `cancelUnneeded` when it already runs.
 */
export class ConntrackCleaner {
  readonly #options: ConntrackCleanerOptions;
  readonly #run: RunProgram;
  readonly #now: () => number;
  /** By the arguments, in the order in which they were queued. */
  readonly #queue = new Map<string, QueuedDeletion>();
  readonly #workers = new Set<Promise<void>>();
  readonly #timers = new Set<NodeJS.Timeout>();
  /** Deletions whose program runs, with the controller that kills it. */
  readonly #running = new Map<ConntrackDeletion, AbortController>();
  #skipped = 0;
  #isClosed = false;

  constructor(options: ConntrackCleanerOptions) {
    this.#options = options;
    this.#run = options.run ?? runProgram;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Queues deletions once live endpoints have had time to respond. */
  deleteAfterRoundTrip(deletions: readonly ConntrackDeletion[]): void {
    if (deletions.length === 0 || this.#isClosed) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.delete(deletions);
    }, ROUND_TRIP_MS);
    this.#timers.add(timer);
  }

  /** Queues deletions. */
  delete(deletions: Iterable<ConntrackDeletion>): void {
    const dueMs = this.#now() + DEADLINE_MS;
    for (const deletion of deletions) {
      const key = deletion.args.join(" ");
      if (!this.#queue.has(key)) this.#queue.set(key, { ...deletion, dueMs });
    }
    while (this.#workers.size < MAX_CONCURRENT && this.#queue.size > 0) this.#startWorker();
  }

  /**
   * Kills the running deletions that are no longer needed. Call it before the kernel sends new connections to a reused
   * address.
   */
  cancelUnneeded(): void {
    for (const [{ isNeeded }, controller] of this.#running) {
      if (isNeeded?.() === false) controller.abort();
    }
  }

  /** Drops the queue. Resolves when no program runs any more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#queue.clear();
    await Promise.all(this.#workers);
  }

  #startWorker(): void {
    const worker = this.#work().finally(() => {
      this.#workers.delete(worker);
      if (this.#workers.size === 0) this.#reportSkipped();
    });
    this.#workers.add(worker);
  }

  async #work(): Promise<void> {
    for (let next = this.#take(); next !== undefined && !this.#isClosed; next = this.#take()) {
      // A run rejects when its signal is aborted: the path is closing, or another task has the address.
      await this.#execute(next).catch(() => {});
    }
  }

  #take(): ConntrackDeletion | undefined {
    for (const [key, deletion] of this.#queue) {
      this.#queue.delete(key);
      if (deletion.isNeeded?.() === false) continue;
      if (this.#now() < deletion.dueMs) return deletion;
      this.#skipped += 1;
    }
    return undefined;
  }

  async #execute(deletion: ConntrackDeletion): Promise<void> {
    for (let runs = 0; runs < MAX_RUNS; runs += 1) {
      const result = await this.#runConntrack(deletion);
      if (this.#isClosed || result.kind === "missing") return;
      // The callback takes a while: it repeats packets. Other deletions must not wait for it.
      void this.#options.onUnanswered(parseUnanswered(result.stdout ?? "")).catch(() => {});
      // conntrack also fails when no connection matched.
      if (result.kind === "done" || !ENTRY_IS_GONE.test(result.reason)) return;
    }
  }

  #runConntrack(deletion: ConntrackDeletion): Promise<ProgramResult> {
    const controller = new AbortController();
    this.#running.set(deletion, controller);
    return this.#run("conntrack", {
      args: deletion.args,
      timeoutMs: PROGRAM_TIMEOUT_MS,
      signal: AbortSignal.any([this.#options.signal, controller.signal]),
    }).finally(() => this.#running.delete(deletion));
  }

  #reportSkipped(): void {
    if (this.#skipped === 0) return;
    this.#options.log.warn(
      { skipped: this.#skipped },
      "conntrack deletions skipped: this host is overloaded",
    );
    this.#skipped = 0;
  }
}
