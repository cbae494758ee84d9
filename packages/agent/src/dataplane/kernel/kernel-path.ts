import type { Logger } from "pino";
import type { KernelBalancer } from "../listeners/listener-manager.js";
import { type IngressListener, type ListenerStats, listenerKey } from "../table/ingress-table.js";
import { DELETE_TABLE, TABLE } from "./base-ruleset.js";
import { ConntrackCleaner, type ConntrackDeletion } from "./conntrack-cleaner.js";
import { ForwardingRules, removeForwardingRules } from "./forwarding.js";
import { KernelCounters } from "./kernel-counters.js";
import { frontendKey, type KernelService, toKernelService } from "./kernel-service.js";
import { type KernelStatistics, readStatistics } from "./kernel-statistics.js";
import { NatHooks } from "./nat-hooks.js";
import { runNft } from "./nft.js";
import { ReferenceCountedSet } from "./numbered-table.js";
import { RulesetSync } from "./ruleset-sync.js";
import { deletionArgs, targetsOnNodes, VanishedTargets } from "./stale-connections.js";
import { promptClients, type UnansweredClient } from "./syn-retransmit.js";
import { TableWatch } from "./table-watch.js";

/** How often the rules are checked: some ways to remove a rule cause no event. */
const CHECK_MS = 10_000;

export interface KernelPathOptions {
  readonly log: Logger;
}

interface KnownListener {
  readonly listener: IngressListener;
  /** Undefined when the user-space proxy serves the listener. */
  readonly service: KernelService | undefined;
}

/**
 * The kernel path: balances connections to published ports in nftables. Keeps the kernel's table in line with the
 * listeners and the suspect nodes, and ends connections to endpoints that are gone.
 */
export class KernelPath implements KernelBalancer {
  readonly #sync: RulesetSync;
  readonly #watch: TableWatch;
  readonly #natHooks = new NatHooks();
  readonly #forwarding: ForwardingRules;
  readonly #cleaner: ConntrackCleaner;
  readonly #checkTimer: NodeJS.Timeout;
  readonly #counters = new KernelCounters();
  readonly #listeners = new Map<string, KnownListener>();
  readonly #desired = new Map<string, KernelService>();
  readonly #vanished = new VanishedTargets();
  /** Nodes with endpoints that get new connections. */
  readonly #servingNodes = new ReferenceCountedSet();
  #suspects: ReadonlySet<string> = new Set();
  /** Arguments of conntrack deletions that are due after the next change. */
  #staleDeletions: ConntrackDeletion[] = [];
  #reading: Promise<KernelStatistics | undefined> | undefined;
  #isClosed = false;
  readonly #stopped = new AbortController();

  constructor({ log }: KernelPathOptions) {
    const { signal } = this.#stopped;
    this.#cleaner = new ConntrackCleaner({ log, signal, onUnanswered: (clients) => this.#prompt(clients) });
    this.#sync = new RulesetSync({
      ...{ log, signal, desired: () => this.#desired },
      beforeScript: () => this.#collectStaleConnections(),
    });
    this.#forwarding = new ForwardingRules(log, signal);
    const checkTable = (): void => void this.#sync.verify().catch(() => {});
    const checkForwarding = (): void => this.#forwarding.restore();
    this.#watch = new TableWatch({ log, onChainDeleted: checkTable, onForeignChainChanged: checkForwarding });
    this.#checkTimer = setInterval(() => {
      checkTable();
      checkForwarding();
    }, CHECK_MS);
    checkForwarding();
  }

  /** Why the kernel does not balance at the moment; undefined when it does. */
  get problem(): string | undefined {
    return this.#sync.problem;
  }

  /**
   * Makes the kernel balance these listeners, whose sockets are open. Resolves when the kernel picks no endpoint that
   * is not in them, or when nft failed and the user-space proxy serves everything.
   */
  apply(listeners: Iterable<IngressListener>): Promise<void> {
    const removed = new Map(this.#listeners);
    let hasChanged = this.#sync.mustReload;
    for (const listener of listeners) {
      const key = listenerKey(listener);
      removed.delete(key);
      if (this.#listeners.get(key)?.listener === listener) continue;
      hasChanged = true;
      this.#removeListener(key);
      this.#addListener(key, listener);
    }
    for (const key of removed.keys()) this.#removeListener(key);
    // A node without serving endpoints is no longer probed by this host: the leader may know that it is down.
    this.#retryUnanswered(new Set(this.#servingNodes.drain().deleted));
    if (!hasChanged && removed.size === 0) return Promise.resolve();
    return this.#sync.update();
  }

  /** Takes the endpoints on these nodes out of the services that have others. Replaces the previous set. */
  setSuspectNodes(nodes: ReadonlySet<string>): Promise<void> {
    const affected = new Set(
      [...nodes, ...this.#suspects].filter((node) => nodes.has(node) !== this.#suspects.has(node)),
    );
    if (affected.size === 0) return Promise.resolve();
    this.#retryUnanswered(new Set([...nodes].filter((node) => !this.#suspects.has(node))));
    this.#suspects = nodes;
    for (const [key, { listener }] of this.#listeners) {
      if (listener.endpoints.some(({ node = "" }) => affected.has(node))) this.#updateService(key, listener);
    }
    return this.#sync.update();
  }

  /** Adds the kernel's counters. Concurrent calls share one reading: an older one could overwrite a newer one. */
  async addStatistics(stats: readonly ListenerStats[]): Promise<readonly ListenerStats[]> {
    if (!this.#sync.mustReload && !this.#isClosed) {
      this.#reading ??= readStatistics(this.#stopped.signal).finally(() => {
        this.#reading = undefined;
      });
      const statistics = await this.#reading;
      if (statistics !== undefined) this.#counters.update(this.#allListeners, statistics);
    }
    return this.#counters.addTo(stats, this.#allListeners);
  }

  /** Stops. @param isLast whether no successor takes over: then the table and the iptables rules are removed */
  async close({ isLast }: { readonly isLast: boolean }): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#checkTimer);
    this.#watch.close();
    this.#natHooks.close();
    await this.#sync.close();
    await this.#cleaner.close();
    await this.#forwarding.close();
    if (isLast) await removeKernelPath(this.#stopped.signal);
    this.#stopped.abort();
  }

  get #allListeners(): readonly IngressListener[] {
    return [...this.#listeners.values()].map(({ listener }) => listener);
  }

  #addListener(key: string, listener: IngressListener): void {
    this.#vanished.add(listener);
    for (const { node = "" } of listener.endpoints) this.#servingNodes.add(node);
    this.#updateService(key, listener);
  }

  #updateService(key: string, listener: IngressListener): void {
    const previous = this.#listeners.get(key)?.service;
    if (previous !== undefined) this.#desired.delete(frontendKey(previous.frontend));
    const service = toKernelService(listener, this.#suspects);
    this.#listeners.set(key, { listener, service });
    if (service !== undefined) this.#desired.set(frontendKey(service.frontend), service);
  }

  #removeListener(key: string): void {
    const known = this.#listeners.get(key);
    if (known === undefined) return;
    const { listener, service } = known;
    this.#vanished.remove(listener);
    for (const { node = "" } of listener.endpoints) this.#servingNodes.remove(node);
    if (service !== undefined) this.#desired.delete(frontendKey(service.frontend));
    this.#listeners.delete(key);
  }

  /** Makes clients that wait for an endpoint on one of these nodes try another endpoint after the next change. */
  #retryUnanswered(nodes: ReadonlySet<string>): void {
    if (nodes.size === 0) return;
    for (const target of targetsOnNodes(this.#allListeners, nodes)) {
      this.#staleDeletions.push({ args: deletionArgs(target, { isUnansweredOnly: true }) });
    }
  }

  /** Collects stale connections before a change. The returned function deletes them after it, when none can follow. */
  #collectStaleConnections(): () => void {
    this.#cleaner.cancelUnneeded();
    const deletions = [
      ...this.#staleDeletions.splice(0),
      ...this.#vanished
        .drain()
        .map((target) => ({ args: deletionArgs(target), isNeeded: () => !target.isReused() })),
    ];
    return () => this.#cleaner.delete(deletions);
  }

  #prompt(clients: readonly UnansweredClient[]): Promise<void> {
    this.#counters.countRetransmitted(clients, this.#allListeners);
    return promptClients(clients, { table: `ip ${TABLE}`, signal: this.#stopped.signal });
  }
}

/** Removes everything that the kernel path of an ingress process leaves in the kernel. */
export async function removeKernelPath(signal: AbortSignal): Promise<void> {
  await runNft(DELETE_TABLE, { signal });
  await removeForwardingRules(signal);
}
