import type { IngressEntry, PublishedListener } from "@berth/proto";
import type { Logger } from "pino";
import type { ApplyResult } from "../dataplane/table/ingress-table.js";
import { applyWithDeadline } from "./apply-deadline.js";
import { ListenerBuilder, type ListenerTable, type LocalTaskLookup } from "./ingress-table.js";
import { RetryTimer } from "./retry-timer.js";

/** A caller that waits until the table of a sequence is applied. */
interface Waiter {
  readonly sequence: number;
  readonly resolve: (isApplied: boolean) => void;
}

type SyncState =
  /** The process uses the latest table. */
  | "applied"
  /** The process did not accept the latest table. A retry is scheduled. */
  | "failed"
  /** The latest table is being applied. */
  | "applying"
  /** A table is being applied, and a newer one has to follow. */
  | "outdated";

export interface IngressSyncOptions {
  readonly apply: (table: ListenerTable, signal: AbortSignal) => Promise<ApplyResult>;
  readonly local?: LocalTaskLookup;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/**
 * Keeps the table of the ingress process current, one apply at a time, and tracks which of the leader's assignment
 * sequences is applied. Retries a failed apply.
 */
export class IngressSync {
  readonly #options: IngressSyncOptions;
  readonly #builder: ListenerBuilder;
  readonly #retry: RetryTimer;
  /** The latest entries from the leader. */
  #entries: readonly IngressEntry[] | undefined;
  #latestSequence = 0;
  #appliedSequence = 0;
  #applied: readonly PublishedListener[] = [];
  /** Number of leader changes. An apply for one leader does not count for the next. */
  #leaderChanges = 0;
  #state: SyncState = "applied";
  /** Starts at the current time, so that it also grows across restarts of the agent. */
  #version = Date.now();
  #lastErrors = "";
  #waiters: readonly Waiter[] = [];

  constructor(options: IngressSyncOptions) {
    this.#options = options;
    this.#builder = new ListenerBuilder(options.local);
    this.#retry = new RetryTimer(() => this.#applyChanges(), options.signal);
  }

  /** All assignments up to this sequence are applied, or the process failed to apply them. */
  get appliedSequence(): number {
    return this.#appliedSequence;
  }

  /** Resets the sequence to 0, because a new leader counts from the start. The table stays in use. */
  resetSequence(): void {
    this.#leaderChanges += 1;
    this.#resolveWaiters(Number.POSITIVE_INFINITY, false);
    this.#latestSequence = 0;
    this.#appliedSequence = 0;
  }

  /**
   * Applies the ingress entries of an assignment.
   *
   * @param entries undefined if the assignment does not change them
   */
  update(sequence: number, entries: readonly IngressEntry[] | undefined): void {
    this.#latestSequence = sequence;
    if (entries === undefined) {
      if (!this.#isApplying()) this.#appliedSequence = sequence;
      return;
    }
    this.#entries = entries;
    this.#applyChanges();
  }

  /** Returns the table for these entries, without applying it. */
  tableOf(entries: readonly IngressEntry[]): ListenerTable {
    return { version: this.#version, listeners: this.#builder.buildAll(entries) };
  }

  /** Applies the table again if the kernel now reaches containers on this node differently. */
  refreshLocalTasks(): void {
    if (this.#entries === undefined) return;
    const listeners = this.#builder.buildAll(this.#entries);
    const isApplied =
      listeners.length === this.#applied.length &&
      listeners.every((listener, index) => listener === this.#applied[index]);
    if (!isApplied) this.#applyChanges();
  }

  /**
   * Resolves with true when the table of this sequence is in use, or with false if the process did not accept the table or
   * the leader was replaced.
   */
  whenApplied(sequence: number): Promise<boolean> {
    if (!this.#isApplying()) return Promise.resolve(this.#state === "applied");
    return new Promise((resolve) => {
      this.#waiters = [...this.#waiters, { sequence, resolve }];
    });
  }

  #applyChanges(): void {
    if (this.#isApplying()) this.#state = "outdated";
    else void this.#applyAll();
  }

  #isApplying(): boolean {
    return this.#state === "applying" || this.#isOutdated();
  }

  #isOutdated(): boolean {
    return this.#state === "outdated";
  }

  async #applyAll(): Promise<void> {
    let isAccepted: boolean;
    do {
      this.#state = "applying";
      const leaderChanges = this.#leaderChanges;
      const sequence = this.#latestSequence;
      isAccepted = await this.#apply(this.#entries ?? []);
      if (leaderChanges !== this.#leaderChanges) continue;
      this.#appliedSequence = sequence;
      this.#resolveWaiters(sequence, isAccepted);
    } while (this.#isOutdated());
    // Assignments that arrived in the meantime and did not change the table count as applied too.
    this.#appliedSequence = this.#latestSequence;
    this.#state = isAccepted ? "applied" : "failed";
    this.#resolveWaiters(this.#appliedSequence, isAccepted);
    if (isAccepted) this.#retry.reset();
    else this.#retry.schedule();
  }

  /** Returns whether the process uses the table. */
  async #apply(entries: readonly IngressEntry[]): Promise<boolean> {
    const { apply, log, signal } = this.#options;
    this.#version += 1;
    try {
      const table = this.tableOf(entries);
      const { errors } = await applyWithDeadline(signal, (inner) => apply(table, inner));
      this.#applied = table.listeners;
      this.#logErrors(errors.map(({ service, message }) => `${service}: ${message}`));
      return true;
    } catch (error) {
      if (!signal.aborted) log.error({ err: error }, "cannot update ingress table; retrying");
      return false;
    }
  }

  #resolveWaiters(upTo: number, isApplied: boolean): void {
    const waiters = this.#waiters;
    this.#waiters = waiters.filter(({ sequence }) => sequence > upTo);
    for (const { sequence, resolve } of waiters) {
      if (sequence <= upTo) resolve(isApplied);
    }
  }

  /** Logs errors only when they change, because a port may stay in use for hours. */
  #logErrors(errors: readonly string[]): void {
    const text = errors.join("; ");
    if (text !== this.#lastErrors && text !== "") {
      this.#options.log.error({ errors }, "published ports are not open");
    }
    this.#lastErrors = text;
  }
}
