import { isDeepStrictEqual } from "node:util";
import type { DnsConfig } from "@berth/proto";
import type { Logger } from "pino";
import { applyWithDeadline } from "./apply-deadline.js";
import { RetryTimer } from "./retry-timer.js";

export interface DnsSyncOptions {
  readonly apply: (config: DnsConfig, signal: AbortSignal) => Promise<void>;
  /** Returns the current configuration. */
  readonly collect: () => DnsConfig;
  /**
   * Whether the process may have a newer configuration than the agent. If so, nothing is applied until `resume` is
   * called. Default: false.
   */
  readonly isPaused?: boolean;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Keeps the DNS configuration of the ingress process current. Coalesces changes, and retries a failed update. */
export class DnsSync {
  readonly #options: DnsSyncOptions;
  readonly #retry: RetryTimer;
  #isPaused: boolean;
  #hasChanged = false;
  #applying: Promise<boolean> | undefined;
  /** The configuration that the process uses. Undefined while it is unknown. */
  #applied: DnsConfig | undefined;
  #hasFailed = false;
  #hasClients = false;

  constructor(options: DnsSyncOptions) {
    this.#options = options;
    this.#isPaused = options.isPaused ?? false;
    this.#retry = new RetryTimer(() => this.scheduleUpdate(), options.signal);
  }

  /** Starts applying changes. Called when the leader has sent the DNS entries. */
  resume(): void {
    this.#isPaused = false;
    this.scheduleUpdate();
  }

  /** Collects the configuration again and applies it if it changed. Coalesces calls in one turn of the event loop. */
  scheduleUpdate(): void {
    if (this.#isPaused) return;
    this.#hasChanged = true;
    this.#applying ??= this.#applyAll();
  }

  /**
   * Whether the last configuration has clients. Stays true after all networks were removed, until the last container that
   * uses DNS is gone.
   */
  get hasClients(): boolean {
    return this.#hasClients;
  }

  /**
   * Resolves with true when the changes that were scheduled before this call are applied, or with false if the process
   * did not accept them.
   */
  whenApplied(): Promise<boolean> {
    return this.#applying ?? Promise.resolve(!this.#hasFailed);
  }

  async #applyAll(): Promise<boolean> {
    // Changes come in bursts, and each replaces the whole configuration.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#hasChanged) {
      this.#hasChanged = false;
      this.#hasFailed = !(await this.#apply());
    }
    this.#applying = undefined;
    if (this.#hasFailed) this.#retry.schedule();
    else this.#retry.reset();
    return !this.#hasFailed;
  }

  async #apply(): Promise<boolean> {
    const { apply, collect, log, signal } = this.#options;
    try {
      const config = collect();
      this.#hasClients = config.clients.length > 0;
      if (this.#applied !== undefined && isDeepStrictEqual(config, this.#applied)) return true;
      await applyWithDeadline(signal, (inner) => apply(config, inner));
      this.#applied = config;
      return true;
    } catch (error) {
      // The process may have applied the configuration anyway.
      this.#applied = undefined;
      if (!signal.aborted) log.error({ err: error }, "cannot update DNS configuration; retrying");
      return false;
    }
  }
}
