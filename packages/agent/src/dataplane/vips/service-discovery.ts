import type { DnsSockets } from "../dns/dns-listener.js";
import type { DnsServer, DnsServerProblem } from "../dns/dns-server.js";
import { type DnsTable, demoteSuspects, EMPTY_DNS_TABLE } from "../dns/dns-table.js";
import type { DnsFirewallRules } from "../dns/firewall-rules.js";
import type { HandoverState } from "../handover/state.js";
import type { HeldClients } from "../listeners/waiting-clients.js";
import type { VipStats } from "../table/ingress-table.js";
import type { VipBalancer } from "./vip-balancer.js";

/** The services that change the kernel's tables. Only the process that holds the table lock uses them. */
export interface DiscoveryKernel {
  readonly vips: VipBalancer;
  readonly firewall: DnsFirewallRules;
}

/**
 * Service discovery of the ingress process: the DNS server for containers, and virtual IPs that the kernel balances.
 */
export class ServiceDiscovery {
  readonly #server: DnsServer;
  #kernel: DiscoveryKernel | undefined;
  /** Virtual IPs that the predecessor balances, until this process has the table lock. */
  #inheritedVips: ReadonlySet<string>;
  #table: DnsTable = EMPTY_DNS_TABLE;
  #suspects: ReadonlySet<string> = new Set();
  #isDraining = false;

  constructor(
    createServer: (isVipActive: (vip: string) => boolean) => DnsServer,
    inheritedVips: readonly string[] = [],
  ) {
    this.#inheritedVips = new Set(inheritedVips);
    this.#server = createServer((vip) => this.#isVipActive(vip));
  }

  /** Addresses at which the DNS server cannot listen. */
  get problems(): readonly DnsServerProblem[] {
    return this.#server.problems;
  }

  /** Whether queries that arrived before `drain` are still being answered. */
  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** Balances virtual IPs in the kernel from now on. Without a kernel, names resolve to the addresses of tasks. */
  useKernel(kernel: DiscoveryKernel | undefined): void {
    this.#kernel = kernel;
    this.#inheritedVips = new Set();
  }

  /** Returns the connections to each virtual IP. Reads kernel counters, which takes a few milliseconds. */
  async vipStats(): Promise<readonly VipStats[]> {
    const counters = await this.#kernel?.vips.connections();
    if (counters === undefined) return [];
    const networks = new Map(this.#table.networks.map(({ id, name }) => [id, name]));
    return this.#table.services.flatMap(({ vip, networkId, service, stack }) => {
      const counts = counters.get(vip);
      if (counts === undefined) return [];
      return [{ service, stack, network: networks.get(networkId) ?? networkId, ...counts }];
    });
  }

  /** The clients that wait for a task, or have waited, by virtual IP. */
  *heldClients(): Generator<HeldClients> {
    const vips = this.#kernel?.vips;
    if (vips === undefined) return;
    for (const { vip, service } of this.#table.services) yield { service, ...vips.heldCounts(vip) };
  }

  /** Replaces the table. Resolves when virtual IPs are balanced and the DNS server answers accordingly. */
  async update(table: DnsTable): Promise<void> {
    this.#table = table;
    // A name resolves to its virtual IP only after the kernel balances it.
    await this.#updateVips();
    await this.#server.update(table);
    await this.#kernel?.firewall.setEnabled(table.networks.length > 0);
  }

  /** Replaces the set of suspect nodes. Their tasks get no new connections as long as a service has others. */
  async setSuspectNodes(nodes: readonly string[]): Promise<void> {
    this.#suspects = new Set(nodes);
    this.#server.setSuspectNodes(nodes);
    await this.#updateVips();
  }

  /** State for a successor. */
  get handoverState(): Pick<HandoverState, "dns" | "activeVips" | "sockets"> {
    const activeVips = this.#table.services.map(({ vip }) => vip).filter((vip) => this.#isVipActive(vip));
    const sockets = new Map<string, unknown>();
    for (const [address, { udp, tcp }] of this.#server.sockets) {
      if (udp === undefined || tcp === undefined) continue;
      sockets.set(socketKey("udp", address), udp);
      sockets.set(socketKey("tcp", address), tcp);
    }
    return { dns: this.#table, activeVips, sockets };
  }

  /** Answers queries on the sockets of the predecessor, which still owns the kernel's tables. */
  async inherit({ dns, suspectNodeIds }: Pick<HandoverState, "dns" | "suspectNodeIds">): Promise<void> {
    this.#suspects = new Set(suspectNodeIds);
    this.#server.setSuspectNodes(suspectNodeIds);
    await this.#server.update(dns);
  }

  /** Leaves new queries and the kernel's tables to a successor. Pending queries are still answered. */
  async drain(): Promise<void> {
    this.#isDraining = true;
    // A socket that fails to close has no pending queries either.
    const onDrained = (): void => {
      this.#isDraining = false;
    };
    void this.#server.drain().then(onDrained, onDrained);
    await this.#kernel?.vips.close({ isLast: false });
    await this.#kernel?.firewall.close({ isLast: false });
  }

  /**
   * Closes the DNS server and releases the kernel's tables.
   *
   * @param isLast whether no successor takes over: then the rules are removed from the kernel
   */
  async close(options: { readonly isLast: boolean }): Promise<void> {
    await this.#server.close();
    await this.#kernel?.vips.close(options);
    await this.#kernel?.firewall.close(options);
  }

  #isVipActive(vip: string): boolean {
    return this.#kernel?.vips.isActive(vip) ?? this.#inheritedVips.has(vip);
  }

  async #updateVips(): Promise<void> {
    await this.#kernel?.vips.update(demoteSuspects(this.#table, this.#suspects));
  }
}

/** Returns the inherited sockets of the DNS server, by address. */
export function inheritedDnsSockets({
  dns,
  sockets,
}: Pick<HandoverState, "dns" | "sockets">): ReadonlyMap<string, DnsSockets> {
  const openSockets = new Map<string, DnsSockets>();
  for (const { gateway } of dns.networks) {
    const [udp, tcp] = [sockets.get(socketKey("udp", gateway)), sockets.get(socketKey("tcp", gateway))];
    if (udp !== undefined && tcp !== undefined) openSockets.set(gateway, { udp, tcp });
  }
  return openSockets;
}

function socketKey(protocol: "udp" | "tcp", address: string): string {
  return `dns-${protocol}/${address}`;
}
