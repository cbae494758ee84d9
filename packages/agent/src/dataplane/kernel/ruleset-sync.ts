import type { Logger } from "pino";
import { runProgram } from "../../runtime/run-program.js";
import { DELETE_TABLE, ENTRY_CHAIN, TABLE } from "./base-ruleset.js";
import type { DesiredServices } from "./kernel-service.js";
import { KernelTable } from "./kernel-table.js";
import { hasChain, runNft } from "./nft.js";

/** How long to wait after nft rejected a script. The user-space proxy serves meanwhile. */
const RETRY_MS = 5_000;

export interface RulesetSyncOptions {
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Returns the services that the kernel should balance now. */
  readonly desired: () => DesiredServices;
  /** Called before each script. The returned function is called when the script has been applied or has failed. */
  readonly beforeScript: () => () => void;
}

interface Waiter {
  readonly revision: number;
  resolve(): void;
}

/**
 * Brings the kernel's table to the desired services, one nft transaction after the other. When nft fails, the table is
 * deleted, because a table that cannot be changed soon leads to endpoints that are gone. It is reloaded 5 s later.
 */
export class RulesetSync {
  readonly #options: RulesetSyncOptions;
  readonly #table = new KernelTable();
  #waiters: Waiter[] = [];
  #revision = 0;
  #isInSync = true;
  #mustReload = true;
  #work: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #problem: string | undefined;
  #isClosed = false;

  constructor(options: RulesetSyncOptions) {
    this.#options = options;
  }

  /** Why nft rejected the last script; undefined when it did not. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Whether the table has to be loaded as a whole, because it does not exist or its content is unknown. */
  get mustReload(): boolean {
    return this.#mustReload;
  }

  /**
   * Applies the desired services. Resolves when the kernel picks no endpoint that is not desired, or when nft failed and
   * the table is deleted.
   */
  update(): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    this.#revision += 1;
    this.#isInSync = false;
    // There is no table until the retry, which loads all services.
    if (this.#retry !== undefined) return Promise.resolve();
    const applied = new Promise<void>((resolve) => {
      this.#waiters.push({ revision: this.#revision, resolve });
    });
    this.#start();
    return applied;
  }

  /** Reloads the table when it was removed from outside, such as by `nft flush ruleset`. */
  async verify(): Promise<void> {
    await this.#work;
    if (this.#isClosed || this.#mustReload) return;
    const { signal, log } = this.#options;
    const listed = await runProgram("nft", { args: ["list", "chains", "ip"], signal });
    // nft may fail on an overloaded host. That says nothing about the table.
    if (listed.kind !== "done" || hasChain(listed.stdout, TABLE, ENTRY_CHAIN)) return;
    if (this.#isClosed || this.#work !== undefined) return;
    log.warn({ table: TABLE }, "nftables table was removed; reloading it");
    this.#mustReload = true;
    await this.update();
  }

  /** Stops. Resolves when no nft runs any more; the table stays. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    await this.#work;
    for (const { resolve } of this.#waiters.splice(0)) resolve();
  }

  #start(): void {
    this.#work ??= this.#apply().finally(() => {
      this.#work = undefined;
      if (!this.#isInSync && this.#retry === undefined && !this.#isClosed) this.#start();
    });
  }

  async #apply(): Promise<void> {
    while (!this.#isInSync && this.#retry === undefined && !this.#isClosed) {
      const revision = this.#revision;
      const desired = this.#options.desired();
      const { script, isComplete } = this.#mustReload
        ? { script: this.#table.load(desired), isComplete: true }
        : this.#table.change(desired);
      this.#mustReload = false;
      const afterScript = this.#options.beforeScript();
      const failure = script === "" ? undefined : await runNft(script, { signal: this.#options.signal });
      if (failure === undefined) {
        if (isComplete && revision === this.#revision) this.#isInSync = true;
        this.#succeeded();
      } else {
        await this.#failed(failure);
      }
      afterScript();
      this.#resolveWaiters(revision);
    }
  }

  #resolveWaiters(revision: number): void {
    const applied = this.#waiters.filter((waiter) => waiter.revision <= revision);
    this.#waiters = this.#waiters.filter((waiter) => waiter.revision > revision);
    for (const { resolve } of applied) resolve();
  }

  #succeeded(): void {
    if (this.#problem !== undefined)
      this.#options.log.info("nft accepted the ruleset; kernel path is active");
    this.#problem = undefined;
  }

  async #failed(reason: string): Promise<void> {
    const { log, signal } = this.#options;
    log.error(
      { reason, retryMs: RETRY_MS },
      "nft rejected the ruleset; falling back to the user-space proxy",
    );
    this.#problem = reason;
    this.#mustReload = true;
    await runNft(DELETE_TABLE, { signal });
    if (this.#isClosed) return;
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#start();
    }, RETRY_MS);
  }
}
