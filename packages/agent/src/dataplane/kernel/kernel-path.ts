import type { Logger } from "pino";
import type { KernelBalancer } from "../listeners/listener-manager.js";
import type { IngressListener, ListenerStats } from "../table/ingress-table.js";
import { DELETE_TABLE, RETRIED_SET, TABLE } from "./base-ruleset.js";
import { ConntrackCleaner } from "./conntrack-cleaner.js";
import { ForwardingRules, removeForwardingRules } from "./forwarding.js";
import { KernelCounters } from "./kernel-counters.js";
import { KernelListeners } from "./kernel-listeners.js";
import { type KernelStatistics, readStatistics } from "./kernel-statistics.js";
import { runNft } from "./nft.js";
import { RulesetSync } from "./ruleset-sync.js";
import { requestSynRetransmits, type UnansweredClient } from "./syn-retransmit.js";
import { TableWatch } from "./table-watch.js";

/** How often the rules are checked: some ways to remove a rule cause no event. */
const CHECK_MS = 10_000;

export interface KernelPathOptions {
  readonly log: Logger;
}

/**
 * The kernel path of the ingress process: balances connections to published ports in nftables. Keeps the kernel's table
 * in line with the listeners and the suspect nodes, and ends connections to endpoints that are gone.
 */
export class KernelPath implements KernelBalancer {
  readonly #sync: RulesetSync;
  readonly #watch: TableWatch;
  readonly #forwarding: ForwardingRules;
  /** Settles when packets of balanced connections pass Docker's firewall. Undefined while the kernel balances no port. */
  #forwardingAccepted: Promise<void> | undefined;
  readonly #cleaner: ConntrackCleaner;
  readonly #checkTimer: NodeJS.Timeout;
  readonly #counters = new KernelCounters();
  readonly #listeners = new KernelListeners();
  #reading: Promise<KernelStatistics | undefined> | undefined;
  #isClosed = false;
  readonly #stopped = new AbortController();

  constructor({ log }: KernelPathOptions) {
    const { signal } = this.#stopped;
    this.#cleaner = new ConntrackCleaner({
      log,
      signal,
      onUnanswered: (clients) => this.#requestSynRetransmits(clients),
    });
    this.#sync = new RulesetSync({
      log,
      signal,
      desired: () => this.#listeners.desired,
      beforeScript: () => this.#prepareDeletions(),
    });
    this.#forwarding = new ForwardingRules(log, signal);
    const checkTable = (): void => void this.#sync.verify().catch(() => {});
    const checkForwarding = (): void => {
      if (this.#forwardingAccepted !== undefined) void this.#forwarding.restore().catch(() => {});
    };
    this.#watch = new TableWatch({ log, onChainDeleted: checkTable, onForeignChainChanged: checkForwarding });
    this.#checkTimer = setInterval(() => {
      checkTable();
      checkForwarding();
    }, CHECK_MS);
  }

  /** Why the kernel currently does not balance. Undefined if it does. */
  get problem(): string | undefined {
    return this.#sync.problem;
  }

  /**
   * Makes the kernel balance these listeners, whose sockets are open. Resolves when the kernel picks no endpoint that
   * is not in them, or when nft failed and the user-space proxy serves everything.
   */
  apply(listeners: Iterable<IngressListener>): Promise<void> {
    const hasChanged = this.#listeners.replace(listeners);
    return hasChanged || this.#sync.mustReload ? this.#update() : Promise.resolve();
  }

  /** Takes the endpoints on these nodes out of the services that have others. Replaces the previous set. */
  setSuspectNodes(nodes: ReadonlySet<string>): Promise<void> {
    return this.#listeners.setSuspectNodes(nodes) ? this.#update() : Promise.resolve();
  }

  /** Applies the listeners. Before the kernel balances the first port, Docker's firewall has to accept its connections. */
  async #update(): Promise<void> {
    if (this.#listeners.desired.size === 0) this.#forwardingAccepted = undefined;
    else this.#forwardingAccepted ??= this.#forwarding.restore().catch(() => {});
    await this.#forwardingAccepted;
    await this.#sync.update();
  }

  /** Adds the kernel's counters. Concurrent calls share one reading: an older one could overwrite a newer one. */
  async addStatistics(stats: readonly ListenerStats[]): Promise<readonly ListenerStats[]> {
    if (!this.#sync.mustReload && !this.#isClosed) {
      this.#reading ??= readStatistics(this.#stopped.signal).finally(() => {
        this.#reading = undefined;
      });
      const statistics = await this.#reading;
      if (statistics !== undefined) this.#counters.update(this.#listeners.all, statistics);
    }
    return this.#counters.addTo(stats, this.#listeners.all);
  }

  /**
   * Stops.
   *
   * @param isLast whether no successor takes over: then the table and the iptables rules are removed
   */
  async close({ isLast }: { readonly isLast: boolean }): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#checkTimer);
    this.#watch.close();
    await this.#sync.close();
    await this.#cleaner.close();
    await this.#forwarding.close();
    if (isLast) await removeKernelPath(this.#stopped.signal);
    this.#stopped.abort();
  }

  /**
   * Prepares for a script: kills deletions that would hit reused addresses. The returned function deletes stale
   * connections after the script, when no new ones can follow.
   */
  #prepareDeletions(): () => void {
    this.#cleaner.cancelUnneeded();
    const { atOnce, afterRoundTrip } = this.#listeners.drainDeletions();
    return () => {
      this.#cleaner.delete(atOnce);
      this.#cleaner.deleteAfterRoundTrip(afterRoundTrip);
    };
  }

  #requestSynRetransmits(clients: readonly UnansweredClient[]): Promise<void> {
    this.#counters.countRetransmitted(clients, this.#listeners.all);
    return requestSynRetransmits(clients, {
      table: `ip ${TABLE}`,
      clientSet: RETRIED_SET,
      signal: this.#stopped.signal,
    });
  }
}

/** Removes everything that the kernel path of an ingress process leaves in the kernel. */
export async function removeKernelPath(signal: AbortSignal): Promise<void> {
  await runNft(DELETE_TABLE, { signal });
  await removeForwardingRules(signal);
}
