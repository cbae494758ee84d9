import type { Logger } from "pino";
import { type RunProgram, runProgram } from "../../runtime/run-program.js";
import { DELETE_TABLE, ENTRY_CHAIN, TABLE } from "./base-ruleset.js";
import type { DesiredServices } from "./kernel-service.js";
import { KernelTable } from "./kernel-table.js";
import { hasChain, runNft } from "./nft.js";

/** How long to wait after nft rejected a script. The user-space proxy serves meanwhile. */
const RETRY_MS = 5_000;

export interface RulesetSyncOptions {
  readonly log: Pick<Logger, "info" | "warn" | "error">;
  readonly signal: AbortSignal;
  /** Returns the services that the kernel should balance now. */
  readonly desired: () => DesiredServices;
  /** Called before each script. The returned function is called when the script has been applied or has failed. */
  readonly beforeScript: () => () => void;
  readonly run?: RunProgram;
}

type SyncState =
  /** The kernel has the desired services. */
  | { readonly kind: "in-sync" }
  /** Scripts run until the kernel has the desired services. */
  | { readonly kind: "outdated" }
  /** nft failed and the table is deleted. The timer loads all services again. */
  | { readonly kind: "waiting"; readonly timer: NodeJS.Timeout }
  | { readonly kind: "closed" };

/** A call of `update` that waits for its services to be applied. */
interface PendingUpdate {
  readonly revision: number;
  resolve(): void;
}

/**
 * Brings the kernel's table to the desired services, one nft transaction after the other. When nft fails, the table is
 * deleted, because a table that cannot be changed soon leads to endpoints that are gone. It is reloaded 5 s later.
 */
export class RulesetSync {
  readonly #options: RulesetSyncOptions;
  readonly #run: RunProgram;
  readonly #table = new KernelTable();
  #state: SyncState = { kind: "in-sync" };
  /** Counts the calls of `update`. */
  #revision = 0;
  #pendingUpdates: PendingUpdate[] = [];
  /** The loop that applies scripts, while it runs. */
  #work: Promise<void> | undefined;
  #mustReload = true;
  #problem: string | undefined;

  constructor(options: RulesetSyncOptions) {
    this.#options = options;
    this.#run = options.run ?? runProgram;
  }

  /** Why nft rejected the last script. Undefined if nft accepted it. */
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
    // While the state is `waiting` there is no table. The retry loads all services.
    if (this.#state.kind === "closed" || this.#state.kind === "waiting") return Promise.resolve();
    this.#revision += 1;
    const revision = this.#revision;
    const applied = new Promise<void>((resolve) => {
      this.#pendingUpdates.push({ revision, resolve });
    });
    this.#start();
    return applied;
  }

  /** Reloads the table when it was removed from outside, such as by `nft flush ruleset`. */
  async verify(): Promise<void> {
    await this.#work;
    if (this.#state.kind !== "in-sync" || this.#mustReload) return;
    const { signal, log } = this.#options;
    const listed = await this.#run("nft", { args: ["list", "chains", "ip"], signal });
    // nft may fail on an overloaded host. That says nothing about the table.
    if (listed.kind !== "done" || hasChain(listed.stdout, TABLE, ENTRY_CHAIN)) return;
    if (this.#state.kind !== "in-sync") return;
    log.warn({ table: TABLE }, "nftables table was removed; reloading it");
    this.#mustReload = true;
    await this.update();
  }

  /** Stops. Resolves when no nft process is running; the table stays. */
  async close(): Promise<void> {
    if (this.#state.kind === "waiting") clearTimeout(this.#state.timer);
    this.#state = { kind: "closed" };
    await this.#work;
    this.#resolveUpdates(this.#revision);
  }

  #start(): void {
    this.#state = { kind: "outdated" };
    this.#work ??= this.#applyUntilInSync().finally(() => {
      this.#work = undefined;
      // `update` may have been called since the loop ended.
      if (this.#state.kind === "outdated") this.#start();
    });
  }

  async #applyUntilInSync(): Promise<void> {
    while (this.#state.kind === "outdated") {
      const revision = this.#revision;
      const { script, isComplete } = this.#nextScript();
      const afterScript = this.#options.beforeScript();
      const failure = script === "" ? undefined : await this.#runNft(script);
      if (failure === undefined) this.#onApplied(isComplete && revision === this.#revision);
      else await this.#onRejected(failure);
      afterScript();
      // After a failure there is no table, so it holds for later updates too.
      this.#resolveUpdates(failure === undefined ? revision : this.#revision);
    }
  }

  #nextScript(): { readonly script: string; readonly isComplete: boolean } {
    const desired = this.#options.desired();
    if (!this.#mustReload) return this.#table.nextChange(desired);
    this.#mustReload = false;
    return { script: this.#table.load(desired), isComplete: true };
  }

  #onApplied(isInSync: boolean): void {
    if (this.#problem !== undefined) {
      this.#options.log.info("nft accepted the ruleset; kernel path is active");
      this.#problem = undefined;
    }
    if (isInSync && this.#state.kind === "outdated") this.#state = { kind: "in-sync" };
  }

  async #onRejected(reason: string): Promise<void> {
    this.#options.log.error(
      { reason, retryMs: RETRY_MS },
      "nft rejected the ruleset; falling back to the user-space proxy",
    );
    this.#problem = reason;
    this.#mustReload = true;
    await this.#runNft(DELETE_TABLE);
    if (this.#state.kind === "closed") return;
    this.#state = { kind: "waiting", timer: setTimeout(() => this.#start(), RETRY_MS) };
  }

  #runNft(script: string): Promise<string | undefined> {
    return runNft(script, { signal: this.#options.signal, run: this.#run });
  }

  #resolveUpdates(revision: number): void {
    const applied = this.#pendingUpdates.filter((update) => update.revision <= revision);
    this.#pendingUpdates = this.#pendingUpdates.filter((update) => update.revision > revision);
    for (const { resolve } of applied) resolve();
  }
}
