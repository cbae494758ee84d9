import type { Logger } from "pino";
import type { NamesTable } from "../dns/names-table.js";
import { withDeadline } from "../with-deadline.js";

/** A process that does not answer serves what it has; the leader must not wait for it. */
const APPLY_TIMEOUT_MS = 10_000;

export interface NamesSyncOptions {
  readonly apply: (names: NamesTable, signal: AbortSignal) => Promise<void>;
  /** Put together anew each time, from all that it depends on. */
  readonly collect: () => NamesTable;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Brings the newest names to the ingress process, one table at a time, and none that it has already. */
export class NamesSync {
  readonly #options: NamesSyncOptions;
  #isDue = false;
  #work: Promise<boolean> | undefined;
  #served = "";

  constructor(options: NamesSyncOptions) {
    this.#options = options;
  }

  /** Something has changed that names depend on. */
  changed(): void {
    this.#isDue = true;
    this.#work ??= this.#applyAll();
  }

  /** Resolves once the process has what was known when this was called; false: it did not take it. */
  inForce(): Promise<boolean> {
    return this.#work ?? Promise.resolve(true);
  }

  async #applyAll(): Promise<boolean> {
    let isServed = true;
    // Changes come in bursts, and each is a whole table.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#isDue) {
      this.#isDue = false;
      isServed = await this.#apply();
    }
    this.#work = undefined;
    return isServed;
  }

  async #apply(): Promise<boolean> {
    const { apply, collect, log, signal } = this.#options;
    const names = collect();
    const text = JSON.stringify(names);
    if (text === this.#served) return true;
    try {
      const onTimeout = (): Error => new Error("no answer in time");
      await withDeadline({ signal, timeoutMs: APPLY_TIMEOUT_MS, onTimeout }, (inner) => apply(names, inner));
      this.#served = text;
      return true;
    } catch (error) {
      if (!signal.aborted) log.error({ err: error }, "the ingress process did not take the new names");
      return false;
    }
  }
}
