import { access } from "node:fs/promises";
import type { Logger } from "pino";
import { failureOf, type RunProgram, runProgram } from "../../runtime/run-program.js";
import type { DnsTable } from "../dns/dns-table.js";
import { ConntrackCleaner } from "../kernel/conntrack-cleaner.js";
import { CounterAccumulator } from "../kernel/counter-accumulator.js";
import { parseCounters } from "../kernel/kernel-statistics.js";
import { hasChain, runNft } from "../kernel/nft.js";
import { requestSynRetransmits } from "../kernel/syn-retransmit.js";
import { type HeldCounts, NO_HELD_CLIENTS } from "../listeners/hold-queue.js";
import type { HeldConnections } from "./held-connections.js";
import { areSameVips, buildVips, findStaleConnections, type Vips } from "./vip.js";
import { VipAddressSync } from "./vip-address-sync.js";
import { DELETE_VIP_TABLES, VIP_ENTRY_CHAIN, VIP_MAP, VIP_TABLE, VipRuleset } from "./vip-ruleset.js";

/** Without it, packets between ports of a bridge bypass nftables, and replies would not be translated. */
const BRIDGE_NETFILTER = "/proc/sys/net/bridge/bridge-nf-call-iptables";
/** How often rules and addresses are checked: rules may be flushed and bridges recreated from outside. */
const CHECK_MS = 2_000;

const NO_VIPS: Vips = new Map();

export interface VipBalancerOptions {
  readonly log: Logger;
  readonly run?: RunProgram;
  /** Virtual IPs that an earlier process balances and whose rules are still loaded. */
  readonly activeVips?: readonly string[] | undefined;
  /** Accepts connections while there is no task for them. They are refused when undefined. */
  readonly heldConnections?: HeldConnections | undefined;
}

/** The connections to one virtual IP. */
export interface VipCounts extends HeldCounts {
  /** Connections from containers of this host. */
  readonly connections: number;
}

/** Balances connections to virtual IPs over the services' tasks, in the kernel of this host, for the ingress process. */
export class VipBalancer {
  readonly #log: Logger;
  readonly #run: RunProgram;
  readonly #stopped = new AbortController();
  readonly #ruleset = new VipRuleset();
  readonly #cleaner: ConntrackCleaner;
  readonly #counters = new CounterAccumulator();
  readonly #addresses: VipAddressSync;
  readonly #heldConnections: HeldConnections | undefined;
  #vips = NO_VIPS;
  /** The virtual IPs of the last ruleset that was applied. */
  #applied = NO_VIPS;
  #mustReload = true;
  #active: ReadonlySet<string>;
  #problem = "";
  /** Resolves when all requested work is done. */
  #work: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  constructor({ log, run = runProgram, activeVips = [], heldConnections }: VipBalancerOptions) {
    this.#log = log;
    this.#run = run;
    this.#heldConnections = heldConnections;
    this.#active = new Set(activeVips);
    const { signal } = this.#stopped;
    this.#addresses = new VipAddressSync(run, signal);
    this.#cleaner = new ConntrackCleaner({
      log,
      signal,
      run,
      onUnanswered: (clients) => requestSynRetransmits(clients, { table: `ip ${VIP_TABLE}`, signal, run }),
    });
  }

  /** Returns whether connections to this virtual IP are balanced. */
  isActive(vip: string): boolean {
    return this.#active.has(vip);
  }

  /** Returns the number of connections by virtual IP. */
  async connections(): Promise<ReadonlyMap<string, VipCounts>> {
    const counted = this.#work.then(() => this.#readCounters());
    this.#work = counted;
    await counted;
    return new Map([...this.#vips.keys()].map((vip) => [vip, this.#countsOf(vip)]));
  }

  #countsOf(vip: string): VipCounts {
    return { connections: this.#counters.getSum(vip), ...this.heldCounts(vip) };
  }

  /** Returns how many connections to the virtual IP wait and have waited. */
  heldCounts(vip: string): HeldCounts {
    return this.#heldConnections?.countsOf(vip) ?? NO_HELD_CLIENTS;
  }

  /**
   * Applies the virtual IPs of a table. Resolves when they are balanced and no new connection goes to a task that is not
   * in the table. Logs a failure and resolves too; never rejects.
   */
  update(table: DnsTable): Promise<void> {
    const vips = buildVips(table, this.#heldConnections?.port);
    const hasChanged = !areSameVips(vips, this.#vips);
    this.#vips = vips;
    this.#heldConnections?.update(vips);
    if (hasChanged) this.#work = this.#work.then(() => this.#apply());
    return this.#work;
  }

  /**
   * Stops.
   *
   * @param isLast whether no successor takes over: then addresses and rules are removed
   */
  async close({ isLast }: { readonly isLast: boolean }): Promise<void> {
    clearTimeout(this.#timer);
    this.#heldConnections?.close();
    await this.#work;
    if (isLast && this.#vips.size > 0) {
      this.#vips = NO_VIPS;
      await this.#apply();
    }
    clearTimeout(this.#timer);
    this.#stopped.abort();
    await this.#cleaner.close();
  }

  /** Reads the counters, which are lost when the table is reloaded. Counters that cannot be read count as 0. */
  async #readCounters(): Promise<void> {
    if (this.#applied.size === 0) return;
    const args = ["--json", "list", "map", "ip", VIP_TABLE, VIP_MAP];
    const listed = await this.#listWithNft(args).catch(() => undefined);
    if (listed !== undefined) this.#counters.update(parseCounters(listed), (vip) => vip);
    this.#counters.keepOnly((vip) => this.#vips.has(vip));
  }

  async #apply(): Promise<void> {
    clearTimeout(this.#timer);
    const vips = this.#vips;
    if (this.#mustReload) await this.#readCounters();
    this.#cleaner.cancelUnneeded();
    try {
      // Rules first: connections to an address without rules would reach programs of this host.
      await this.#applyRules(vips);
      const assigned = await this.#addresses.apply(vips);
      const reachable = [...vips.values()].filter(({ bridge, address }) =>
        assigned.get(bridge)?.has(address),
      );
      const balanced = reachable.filter(({ address }) => this.#ruleset.services.has(address));
      this.#active = new Set(balanced.map(({ address }) => address));
      this.#deleteStaleConnections(vips);
      this.#applied = vips;
      this.#report(reachable.length < vips.size ? "the bridge of a network is missing" : "");
    } catch (error) {
      this.#mustReload = true;
      this.#addresses.reset();
      this.#active = new Set();
      if (!this.#stopped.signal.aborted) this.#report(error instanceof Error ? error.message : String(error));
    }
    this.#scheduleCheck();
  }

  async #applyRules(vips: Vips): Promise<void> {
    if (vips.size === 0) {
      await this.#runNft(DELETE_VIP_TABLES);
      this.#mustReload = true;
      return;
    }
    if (this.#mustReload) {
      await access(BRIDGE_NETFILTER).catch(() => {
        throw new Error("kernel module br_netfilter is not loaded; run modprobe br_netfilter");
      });
      await this.#runNft(this.#ruleset.load(vips));
      this.#mustReload = false;
      return;
    }
    let isComplete = false;
    // After the first script nothing undesired is picked. A newer update continues from there.
    do {
      const change = this.#ruleset.nextChange(vips);
      if (change.script !== "") await this.#runNft(change.script);
      isComplete = change.isComplete;
    } while (!isComplete && this.#vips === vips);
  }

  #deleteStaleConnections(vips: Vips): void {
    const stale = findStaleConnections(this.#applied, vips).map(({ args, vip, task, isAwaitingReply }) => ({
      args,
      isAwaitingReply,
      // Docker may have given the address to another task of the service.
      isNeeded: () => !this.#vips.get(vip)?.tasks.includes(task),
    }));
    this.#cleaner.delete(stale.filter(({ isAwaitingReply }) => !isAwaitingReply));
    this.#cleaner.deleteAfterRoundTrip(stale.filter(({ isAwaitingReply }) => isAwaitingReply));
  }

  /** Logs a problem once, not for each attempt. */
  #report(problem: string): void {
    if (problem !== "" && problem !== this.#problem) {
      this.#log.warn({ reason: problem }, "virtual IPs are not balanced; DNS returns task addresses instead");
    }
    this.#problem = problem;
  }

  #scheduleCheck(): void {
    if (this.#vips.size === 0 || this.#stopped.signal.aborted) return;
    this.#timer = setTimeout(() => this.#check(), CHECK_MS);
    this.#timer.unref();
  }

  #check(): void {
    this.#work = this.#work.then(async () => {
      const isIntact = await this.#verify().catch(() => false);
      if (isIntact) this.#scheduleCheck();
      else await this.#apply();
    });
  }

  /** Returns whether the kernel has the rules and addresses, and records what `#apply` has to restore. */
  async #verify(): Promise<boolean> {
    const chains = await this.#listWithNft(["list", "chains", "ip"]);
    this.#mustReload ||= !hasChain(chains, VIP_TABLE, VIP_ENTRY_CHAIN);
    const hasAddresses = await this.#addresses.verify(this.#vips);
    return hasAddresses && !this.#mustReload;
  }

  async #runNft(script: string): Promise<void> {
    const failure = await runNft(script, { signal: this.#stopped.signal, run: this.#run });
    if (failure !== undefined) throw new Error(failure);
  }

  /** @throws Error if nft fails */
  async #listWithNft(args: readonly string[]): Promise<string> {
    const result = await this.#run("nft", { args, signal: this.#stopped.signal });
    if (result.kind === "done") return result.stdout;
    throw new Error(failureOf("nft", result));
  }
}

/**
 * Removes the virtual IPs that an earlier process left on a host that no longer balances any. Otherwise their rules
 * would direct connections to outdated tasks forever. Ignores failures; rejects when the signal is aborted.
 */
export async function removeVips(signal: AbortSignal): Promise<void> {
  const addresses = new VipAddressSync(runProgram, signal);
  // Addresses first: connections to an address without rules would reach programs of this host.
  await addresses.apply(NO_VIPS).catch(() => {});
  signal.throwIfAborted();
  await runNft(DELETE_VIP_TABLES, { signal });
}
