import type { Logger } from "pino";
import {
  type ProgramCall,
  type ProgramResult,
  type RunProgram,
  runProgram,
} from "../../runtime/run-program.js";
import { parseUnanswered, type UnansweredClient } from "./syn-retransmit.js";

/** Each deletion reads the whole connection table: with 262,144 entries about 0.3 s of CPU time. */
const MAX_CONCURRENT = 2;
/** Clients wait for the end of a batch, since its output tells who has to repeat a packet. */
const BATCH_MS = 100;
/** Starting `conntrack` takes about as long as 64 deletions from a small table. */
const MAX_BATCH = 64;
/** The size of the first batch, when the time of a deletion is unknown. */
const FIRST_BATCH = 8;
/** Deletions that have waited this long are skipped: the connections have ended or run into their own timeouts. */
const DEADLINE_MS = 20_000;
/** Eight deletions from a large table take 2.4 s; a `conntrack` that takes longer than this hangs. */
const PROGRAM_TIMEOUT_MS = 5_000;
/** conntrack exits at the first entry that no longer exists, such as one that another conntrack has deleted. */
const ENTRY_IS_GONE = /such conntrack doesn't exist/;
/** How often a batch that such an entry ended is run. */
const MAX_RUNS = 5;
/** Releases of conntrack before 1.4.6 cannot read a batch. */
const NO_BATCHES = /(unrecognized|unknown|invalid) option/;

/** Longer than the round-trip time between the hosts of a cluster. */
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

/** A batch whose program runs. */
interface RunningBatch {
  readonly deletions: readonly QueuedDeletion[];
  /** Kills the program. */
  readonly controller: AbortController;
}

/**
 * Deletes conntrack entries in the background, in batches, with at most 2 programs at a time. Where `conntrack` is not installed,
 * clients wait for their own timeouts.
 *
 * The work is bounded however many endpoints go away: a deletion is queued only once, and skipped when it does not start
 * within 20 s. Docker reuses addresses within seconds, and a deletion would reset the connections of the next task. It is
 * therefore skipped when another task has its address, and `cancelUnneeded` kills its batch when it already runs. The
 * others of that batch run again.
 */
export class ConntrackCleaner {
  readonly #options: ConntrackCleanerOptions;
  readonly #run: RunProgram;
  readonly #now: () => number;
  /** By the arguments, in the order in which they were queued. */
  readonly #queue = new Map<string, QueuedDeletion>();
  readonly #workers = new Set<Promise<void>>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #running = new Set<RunningBatch>();
  /** The time of one deletion in the last batch. */
  #deletionMs = BATCH_MS / FIRST_BATCH;
  #maxBatch = MAX_BATCH;
  #skipped = 0;
  #isClosed = false;

  constructor(options: ConntrackCleanerOptions) {
    this.#options = options;
    this.#run = options.run ?? runProgram;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Queues deletions when endpoints that are alive have answered. */
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
   * Kills the running batches with deletions that are no longer needed. Call it before the kernel sends new connections to
   * a reused address.
   */
  cancelUnneeded(): void {
    for (const { deletions, controller } of this.#running) {
      if (!deletions.every(isStillNeeded)) controller.abort();
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
    for (let batch = this.#take(); batch.length > 0 && !this.#isClosed; batch = this.#take()) {
      await this.#execute(batch);
    }
  }

  #take(): readonly QueuedDeletion[] {
    const size = Math.min(Math.max(Math.floor(BATCH_MS / this.#deletionMs), 1), this.#maxBatch);
    const batch: QueuedDeletion[] = [];
    for (const [key, deletion] of this.#queue) {
      if (batch.length === size) break;
      this.#queue.delete(key);
      if (!isStillNeeded(deletion)) continue;
      if (this.#now() < deletion.dueMs) batch.push(deletion);
      else this.#skipped += 1;
    }
    return batch;
  }

  async #execute(batch: readonly QueuedDeletion[]): Promise<void> {
    for (let runs = 0; runs < MAX_RUNS; runs += 1) {
      const startedMs = this.#now();
      const result = await this.#runConntrack(batch).catch(() => "killed" as const);
      if (this.#isClosed || this.#options.signal.aborted) return;
      if (result === "killed") return this.#requeue(batch);
      this.#deletionMs = (this.#now() - startedMs) / batch.length;
      if (result.kind === "missing") return;
      // The callback takes a while: it repeats packets. Other deletions must not wait for it.
      void this.#options.onUnanswered(parseUnanswered(result.stdout ?? "")).catch(() => {});
      if (result.kind === "done") return;
      if (batch.length > 1 && NO_BATCHES.test(result.reason)) {
        this.#maxBatch = 1;
        return this.#requeue(batch);
      }
      // conntrack also fails when no connection matched.
      if (!ENTRY_IS_GONE.test(result.reason)) return;
    }
  }

  /** Puts the deletions that are still needed in front of the others. */
  #requeue(batch: readonly QueuedDeletion[]): void {
    const others = [...this.#queue];
    this.#queue.clear();
    for (const deletion of batch.filter(isStillNeeded)) this.#queue.set(deletion.args.join(" "), deletion);
    for (const [key, deletion] of others) if (!this.#queue.has(key)) this.#queue.set(key, deletion);
  }

  #runConntrack(deletions: readonly QueuedDeletion[]): Promise<ProgramResult> {
    const running: RunningBatch = { deletions, controller: new AbortController() };
    this.#running.add(running);
    return this.#run("conntrack", {
      ...conntrackInput(deletions),
      timeoutMs: PROGRAM_TIMEOUT_MS,
      signal: AbortSignal.any([this.#options.signal, running.controller.signal]),
    }).finally(() => this.#running.delete(running));
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

const isStillNeeded = ({ isNeeded }: ConntrackDeletion): boolean => isNeeded?.() !== false;

/** Returns the arguments and the standard input with which `conntrack` executes these deletions. */
function conntrackInput(deletions: readonly ConntrackDeletion[]): Pick<ProgramCall, "args" | "input"> {
  const [first, ...others] = deletions;
  if (first !== undefined && others.length === 0) return { args: first.args };
  return {
    args: ["--load-file", "-"],
    input: deletions.map(({ args }) => `${args.join(" ")}\n`).join(""),
  };
}
