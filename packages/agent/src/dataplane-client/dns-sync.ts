import type { Logger } from "pino";
import type { DnsTable } from "../dataplane/dns/dns-table.js";
import { withDeadline } from "../runtime/with-deadline.js";

/** A process that does not answer serves what it has; the leader must not wait for it. */
const APPLY_TIMEOUT_MS = 10_000;

export interface DnsSyncOptions {
  readonly apply: (names: DnsTable, signal: AbortSignal) => Promise<void>;
  /** Put together anew each time, from all that it depends on. */
  readonly collect: () => DnsTable;
  /** The process has names that are newer than what is known here, until the leader has spoken. */
  readonly isHeld?: boolean;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Brings the newest names to the ingress process, one table at a time, and none that it has already. */
export class DnsSync {
  readonly #options: DnsSyncOptions;
  #isHeld: boolean;
  #isDue = false;
  #work: Promise<boolean> | undefined;
  #served = "";
  /** The process did not take the last names that it was given. */
  #hasFailed = false;
  #hasAskers = false;

  constructor(options: DnsSyncOptions) {
    this.#options = options;
    this.#isHeld = options.isHeld ?? false;
  }

  /** The leader has said who answers to which name. */
  told(): void {
    this.#isHeld = false;
    this.changed();
  }

  /** Something has changed that names depend on. */
  changed(): void {
    if (this.#isHeld) return;
    this.#isDue = true;
    this.#work ??= this.#applyAll();
  }

  /** Somebody is known to ask: also on a host that has no network any more, until its last container has gone. */
  get hasAskers(): boolean {
    return this.#hasAskers;
  }

  /** Resolves once the process has what was known when this was called; false: it did not take it. */
  inForce(): Promise<boolean> {
    return this.#work ?? Promise.resolve(!this.#hasFailed);
  }

  async #applyAll(): Promise<boolean> {
    // Changes come in bursts, and each is a whole table.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#isDue) {
      this.#isDue = false;
      this.#hasFailed = !(await this.#apply());
    }
    this.#work = undefined;
    return !this.#hasFailed;
  }

  async #apply(): Promise<boolean> {
    const { apply, collect, log, signal } = this.#options;
    const names = collect();
    const text = JSON.stringify(names);
    this.#hasAskers = names.clients.length > 0;
    if (text === this.#served) return true;
    try {
      const onTimeout = (): Error => new Error("no answer in time");
      await withDeadline({ signal, timeoutMs: APPLY_TIMEOUT_MS, onTimeout }, (inner) => apply(names, inner));
      this.#served = text;
      return true;
    } catch (error) {
      // It may have taken them all the same.
      this.#served = "";
      if (!signal.aborted) log.error({ err: error }, "the ingress process did not take the new names");
      return false;
    }
  }
}
