import type { IngressEntry } from "@berth/proto";
import type { Logger } from "pino";
import type { ApplyResult, IngressListener, IngressTable } from "../dataplane/table/ingress-table.js";
import { withDeadline } from "../runtime/with-deadline.js";
import { type HasEnded, IngressListeners, type RouteTo } from "./ingress-table.js";

/** A process that does not answer serves what it has; the leader must not wait for it. */
const APPLY_TIMEOUT_MS = 10_000;

type Apply = (table: IngressTable, signal: AbortSignal) => Promise<ApplyResult>;

/** Somebody who waits for the table of a sequence. */
interface Waiting {
  readonly sequence: number;
  readonly resolve: (isInForce: boolean) => void;
}

export interface IngressSyncOptions {
  readonly apply: Apply;
  /** How the kernel of this host may reach endpoints. */
  readonly routeTo?: RouteTo;
  readonly hasEnded?: HasEnded;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Brings the newest table to the ingress process, one at a time, and knows which sequence it serves. */
export class IngressSync {
  readonly #options: IngressSyncOptions;
  /** What the leader last said. */
  #entries: readonly IngressEntry[] | undefined;
  readonly #listeners: IngressListeners;
  #served: readonly IngressListener[] = [];
  #wanted: { readonly entries: readonly IngressEntry[] } | undefined;
  #wantedSequence = 0;
  #appliedSequence = 0;
  /** How many leaders there have been: an apply for an older one says nothing to a newer one. */
  #leader = 0;
  #isApplying = false;
  /** The process did not take the last table that it was given. */
  #hasFailed = false;
  /** Grows over restarts of the agent, too: the process keeps what is newest. */
  #version = Date.now();
  #lastErrors = "";
  #waiting: Waiting[] = [];

  constructor(options: IngressSyncOptions) {
    this.#options = options;
    this.#listeners = new IngressListeners(options.routeTo, options.hasEnded);
  }

  /** Everything up to this assignment sequence is taken over, table included. */
  get appliedSequence(): number {
    return this.#appliedSequence;
  }

  /** Another leader counts anew: nothing of its sequence is taken over yet. The table serves on. */
  restart(): void {
    this.#leader += 1;
    this.#settle(Number.POSITIVE_INFINITY, false);
    this.#wantedSequence = 0;
    this.#appliedSequence = 0;
  }

  /** A sequence without entries left the table as it was. */
  update(sequence: number, entries: readonly IngressEntry[] | undefined): void {
    this.#wantedSequence = sequence;
    if (entries !== undefined) {
      this.#entries = entries;
      this.#wanted = { entries };
    }
    if (!this.#isApplying) void this.#applyAll();
  }

  /** A table of these entries, as it would be given to a process now. */
  tableOf(entries: readonly IngressEntry[]): IngressTable {
    return { version: this.#version, listeners: this.#listeners.of(entries) };
  }

  /** Containers of this host have changed, and with them perhaps how the kernel reaches them. */
  routesMayHaveChanged(): void {
    if (this.#entries === undefined) return;
    const listeners = this.#listeners.of(this.#entries);
    const isServed = listeners.every((listener, index) => listener === this.#served[index]);
    if (isServed && listeners.length === this.#served.length) return;
    this.#wanted ??= { entries: this.#entries };
    if (!this.#isApplying) void this.#applyAll();
  }

  /**
   * Resolves once the process has confirmed that it serves the table as of this sequence. False: it has not taken it,
   * or the leader who asks has been replaced.
   */
  inForce(sequence: number): Promise<boolean> {
    if (!this.#isApplying) return Promise.resolve(!this.#hasFailed);
    return new Promise((resolve) => this.#waiting.push({ sequence, resolve }));
  }

  #settle(upTo: number, isInForce: boolean): void {
    const waiting = this.#waiting;
    this.#waiting = waiting.filter(({ sequence }) => sequence > upTo);
    for (const { sequence, resolve } of waiting) if (sequence <= upTo) resolve(isInForce);
  }

  async #applyAll(): Promise<void> {
    this.#isApplying = true;
    for (let next = this.#wanted; next !== undefined; next = this.#wanted) {
      this.#wanted = undefined;
      const [leader, covered] = [this.#leader, this.#wantedSequence];
      this.#hasFailed = !(await this.#apply(next.entries));
      if (leader !== this.#leader) continue;
      this.#appliedSequence = covered;
      this.#settle(covered, !this.#hasFailed);
    }
    // What came meanwhile without a table of its own needs nothing more.
    this.#appliedSequence = this.#wantedSequence;
    this.#isApplying = false;
    this.#settle(this.#appliedSequence, !this.#hasFailed);
  }

  /** True when the process says that it serves the table. */
  async #apply(entries: readonly IngressEntry[]): Promise<boolean> {
    const { apply, log, signal } = this.#options;
    this.#version += 1;
    try {
      const listeners = this.#listeners.of(entries);
      const table = { version: this.#version, listeners };
      const deadline = {
        signal,
        timeoutMs: APPLY_TIMEOUT_MS,
        onTimeout: () => new Error("no answer in time"),
      };
      const { errors } = await withDeadline(deadline, (inner) => apply(table, inner));
      this.#served = table.listeners;
      this.#logErrors(errors.map(({ service, message }) => `${service}: ${message}`));
      return true;
    } catch (error) {
      if (!signal.aborted) log.error({ err: error }, "the ingress process did not take the new table");
      return false;
    }
  }

  /** Ports stay taken for long: said when it changes, not with each table. */
  #logErrors(errors: readonly string[]): void {
    const text = errors.join("; ");
    if (text !== this.#lastErrors && text !== "")
      this.#options.log.error({ errors }, "published ports do not answer");
    this.#lastErrors = text;
  }
}
