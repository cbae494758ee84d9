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

/** A client that waits for an endpoint. */
export interface HeldClient {
  /** Tries the endpoints again. */
  retry(): void;
}

export interface HoldQueueOptions {
  /** The clients in the queues of all listeners. */
  readonly quota: Quota;
  readonly deadlines: DeadlineTimer;
  now(): number;
}

/**
 * Holds the clients of one TCP listener while no endpoint accepts their connections. Bounded in number; each client
 * limits its own time.
 */
export class HoldQueue implements Deadline {
  readonly #options: HoldQueueOptions;
  /** In order of arrival. */
  readonly #clients = new Set<HeldClient>();
  #total = 0;
  deadlineMs = 0;
  isWaiting = false;

  constructor(options: HoldQueueOptions) {
    this.#options = options;
  }

  /** Number of clients that wait now. */
  get size(): number {
    return this.#clients.size;
  }

  /** Number of clients that have waited, including those that wait now. */
  get total(): number {
    return this.#total;
  }

  /** Adds a client, unless it is in the queue already. Returns false when the queue is full. */
  add(client: HeldClient): boolean {
    if (this.#clients.has(client)) return true;
    if (this.#clients.size >= MAX_CLIENTS || !this.#options.quota.tryAcquire()) return false;
    this.#clients.add(client);
    this.#total += 1;
    this.#scheduleRetry();
    return true;
  }

  remove(client: HeldClient): void {
    if (this.#clients.delete(client)) this.#options.quota.release();
  }

  /** Lets all clients try the endpoints, in order of arrival. */
  retryAll(): void {
    for (const client of [...this.#clients]) client.retry();
  }

  /** Lets the first client try the endpoints. It lets the others try when an endpoint accepts its connection. */
  expire(): void {
    this.isWaiting = false;
    const [first] = this.#clients;
    if (first === undefined) return;
    this.#scheduleRetry();
    first.retry();
  }

  #scheduleRetry(): void {
    if (this.isWaiting) return;
    this.isWaiting = true;
    this.deadlineMs = this.#options.now() + RETRY_MS;
    this.#options.deadlines.add(this);
  }
}
