import type { Logger } from "pino";
import { type RunProgram, runProgram } from "../../runtime/run-program.js";
import { parseUnanswered, type UnansweredClient } from "./syn-retransmit.js";

/** Each run of `conntrack` reads the whole connection table: with 262,144 entries about 0.3 s of CPU time. */
const MAX_CONCURRENT = 2;
/** Deletions that have waited this long are skipped: the connections have ended or run into their own timeouts. */
const DEADLINE_MS = 20_000;
/** A connection table is read within seconds; a `conntrack` that takes longer hangs. */
const PROGRAM_TIMEOUT_MS = 5_000;

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
  /** Called when the deletion's turn comes. By default it always runs. */
  readonly isNeeded?: () => boolean;
}

interface QueuedDeletion extends ConntrackDeletion {
  readonly dueMs: number;
}

/**
 * Deletes conntrack entries in the background, with at most 2 programs at a time. Where `conntrack` is not installed,
 * clients wait for their own timeouts.
 *
 * A deletion that is queued already is not queued twice, and one that does not start within 20 s is skipped, so that the
 * work is bounded however many endpoints go away. A deletion is also skipped when another task has its address by then:
 * Docker reuses addresses within seconds, and the new task's connections would be reset.
 */
export class ConntrackCleaner {
  readonly #options: ConntrackCleanerOptions;
  readonly #run: RunProgram;
  readonly #now: () => number;
  /** By the arguments, in the order in which they were queued. */
  readonly #queue = new Map<string, QueuedDeletion>();
  readonly #running = new Set<Promise<void>>();
  #skipped = 0;
  #isClosed = false;

  constructor(options: ConntrackCleanerOptions) {
    this.#options = options;
    this.#run = options.run ?? runProgram;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Queues deletions. */
  delete(deletions: Iterable<ConntrackDeletion>): void {
    const dueMs = this.#now() + DEADLINE_MS;
    for (const deletion of deletions) {
      const key = deletion.args.join(" ");
      if (!this.#queue.has(key)) this.#queue.set(key, { ...deletion, dueMs });
    }
    while (this.#running.size < MAX_CONCURRENT && this.#queue.size > 0) this.#startWorker();
  }

  /** Skips what is queued. Resolves when no program runs any more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#queue.clear();
    await Promise.all(this.#running);
  }

  #startWorker(): void {
    const worker = this.#work()
      .catch(() => {})
      .finally(() => {
        this.#running.delete(worker);
        if (this.#running.size === 0) this.#reportSkipped();
      });
    this.#running.add(worker);
  }

  async #work(): Promise<void> {
    for (let next = this.#take(); next !== undefined && !this.#isClosed; next = this.#take()) {
      await this.#execute(next);
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

  async #execute({ args }: ConntrackDeletion): Promise<void> {
    const { signal, onUnanswered } = this.#options;
    const deleted = await this.#run("conntrack", { args, timeoutMs: PROGRAM_TIMEOUT_MS, signal });
    // conntrack also fails when no connection matched.
    if (deleted.kind !== "done" || this.#isClosed) return;
    // Prompts are repeated for a while; other deletions must not wait for them.
    void onUnanswered(parseUnanswered(deleted.stdout)).catch(() => {});
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
