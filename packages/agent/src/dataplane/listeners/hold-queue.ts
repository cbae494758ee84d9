import type { Deadline, DeadlineTimer } from "./deadline-timer.js";
import type { Quota } from "./quota.js";

/**
 * Maximum number of held clients. Each takes a descriptor and up to 96 KiB of early bytes, so a full queue takes less
 * than 100 MB.
 */
const MAX_CLIENTS = 1_000;
/**
 * Interval between two attempts to find an endpoint. A restarted container can be back before the leader has changed
 * the endpoints.
 */
const RETRY_MS = 100;

/**
 * Maximum number of clients that connect to endpoints in one interval. An endpoint that has just started may accept
 * connections slowly, and drops those for which its listen queue has no space; small servers have queues of 5 to 10.
 */
const BATCH_SIZE = 8;
/** Interval between two batches: 320 clients a second are released. */
const BATCH_INTERVAL_MS = 25;

/** A client that waits for an endpoint. */
export interface HeldClient {
  /** Tries the endpoints again. Returns whether it connects to one now. */
  retry(): boolean;
  /** Ends the wait. */
  refuse(): void;
}

export interface HoldQueueOptions {
  /** The clients in the queues of all listeners. */
  readonly quota: Quota;
  readonly deadlines: DeadlineTimer;
  now(): number;
  /** Called when a client begins or ceases to wait. */
  onChange(): void;
}

/** Numbers of held clients. */
export interface HeldCounts {
  /** Clients that wait now. */
  readonly held: number;
  /** Clients that have waited, including those that wait now. */
  readonly heldTotal: number;
  /** Clients that have waited and were refused then. */
  readonly heldRefused: number;
}

export const NO_HELD_CLIENTS: HeldCounts = { held: 0, heldTotal: 0, heldRefused: 0 };

/**
 * Holds the clients of one TCP listener while no endpoint accepts their connections. Bounded in number; each client
 * limits its own time.
 */
export class HoldQueue implements Deadline {
  readonly #options: HoldQueueOptions;
  /** The waiting clients in the order of their arrival. */
  readonly #clients = new Set<HeldClient>();
  /** Clients that try the endpoints in the next batches. Some may have left the queue. */
  #due: readonly HeldClient[] = [];
  /** Number of clients that may still connect in this interval. */
  #budget = BATCH_SIZE;
  #total = 0;
  #refused = 0;
  deadlineMs = 0;
  isWaiting = false;

  constructor(options: HoldQueueOptions) {
    this.#options = options;
  }

  /** Number of clients that wait now. */
  get size(): number {
    return this.#clients.size;
  }

  get counts(): HeldCounts {
    return { held: this.#clients.size, heldTotal: this.#total, heldRefused: this.#refused };
  }

  /** Adds a client, unless it is in the queue already. Returns false when the queue is full. */
  add(client: HeldClient): boolean {
    if (this.#clients.has(client)) return true;
    if (this.#clients.size >= MAX_CLIENTS || !this.#options.quota.tryAcquire()) return false;
    this.#clients.add(client);
    this.#total += 1;
    this.#scheduleIn(RETRY_MS);
    this.#options.onChange();
    return true;
  }

  /** Removes a client that is connected or has closed its connection. Does nothing if it is not in the queue. */
  remove(client: HeldClient): void {
    if (!this.#clients.delete(client)) return;
    this.#options.quota.release();
    this.#options.onChange();
  }

  /** Removes a client whose wait was in vain. Does nothing if it is not in the queue. */
  removeRefused(client: HeldClient): void {
    if (this.#clients.has(client)) this.#refused += 1;
    this.remove(client);
  }

  /** Lets all clients try the endpoints, in order of arrival: one batch now, and the others in the next intervals. */
  retryAll(): void {
    this.#due = [...this.#clients];
    this.#retryDue();
  }

  /** Ends the wait of all clients. */
  refuseAll(): void {
    for (const client of [...this.#clients]) client.refuse();
  }

  /** Begins the next interval. Without due clients, only the first one tries: it calls `retryAll` when it connects. */
  expire(): void {
    this.isWaiting = false;
    this.#budget = BATCH_SIZE;
    const [first] = this.#clients;
    if (first === undefined) return;
    this.#scheduleIn(RETRY_MS);
    if (this.#due.length > 0) this.#retryDue();
    else if (first.retry()) this.#budget -= 1;
  }

  #retryDue(): void {
    const clients = this.#due.filter((client) => this.#clients.has(client));
    for (const [index, client] of clients.entries()) {
      if (this.#budget === 0) {
        this.#due = clients.slice(index);
        this.#scheduleIn(BATCH_INTERVAL_MS);
        return;
      }
      if (client.retry()) this.#budget -= 1;
    }
    this.#due = [];
  }

  #scheduleIn(delayMs: number): void {
    const deadlineMs = this.#options.now() + delayMs;
    this.deadlineMs = this.isWaiting ? Math.min(this.deadlineMs, deadlineMs) : deadlineMs;
    if (this.isWaiting) return;
    this.isWaiting = true;
    this.#options.deadlines.add(this);
  }
}
