import type { DnsSockets } from "../dns/dns-listener.js";
import type { DnsServer, DnsServerProblem } from "../dns/dns-server.js";
import { type DnsTable, EMPTY_DNS_TABLE } from "../dns/dns-table.js";
import type { DnsFirewallRules } from "../dns/firewall-rules.js";
import { demoteSuspects } from "../dns/without-suspects.js";
import type { HandoverState } from "../handover/state.js";
import type { VipStats } from "../table/ingress-table.js";
import type { VipBalancer } from "./vip-balancer.js";

/** Names of services, and the virtual IPs that they stand for where the kernel balances those. */
export class ServiceDiscovery {
  readonly #server: DnsServer;
  readonly #vips: VipBalancer | undefined;
  readonly #door: DnsFirewallRules | undefined;
  #table: DnsTable = EMPTY_DNS_TABLE;
  #suspects: ReadonlySet<string> = new Set();
  #isDraining = false;

  /** Without `vips` and `door` the kernel of this host stays as it is. */
  constructor(server: DnsServer, vips?: VipBalancer, door?: DnsFirewallRules) {
    this.#server = server;
    this.#vips = vips;
    this.#door = door;
  }

  get problems(): readonly DnsServerProblem[] {
    return this.#server.problems;
  }

  /** What the kernel counts, which takes some milliseconds where it balances virtual IPs. */
  async vipStats(): Promise<readonly VipStats[]> {
    const counted = await this.#vips?.connections();
    if (counted === undefined) return [];
    const networks = new Map(this.#table.networks.map(({ id, name }) => [id, name]));
    return this.#table.services.flatMap(({ vip, networkId, service, stack }) => {
      const connections = counted.get(vip);
      if (connections === undefined) return [];
      return [{ service, stack, network: networks.get(networkId) ?? networkId, connections }];
    });
  }

  /** Resolves when names and virtual IPs lead where the table says. */
  async update(table: DnsTable): Promise<void> {
    this.#table = table;
    // A name stands for its virtual IP only once that is balanced.
    await this.#balance();
    await this.#server.update(table);
    await this.#door?.open(table.networks.length > 0);
  }

  /** Tasks on these nodes get no new connections where there are others; all of them, each time. */
  async suspect(nodes: readonly string[]): Promise<void> {
    this.#suspects = new Set(nodes);
    this.#server.suspect(nodes);
    await this.#balance();
  }

  /** What another process needs to go on in place of this one. */
  get estate(): Pick<HandoverState, "names" | "activeVips" | "sockets"> {
    const activeVips = this.#table.services.map(({ vip }) => vip).filter((vip) => this.#vips?.isActive(vip));
    const sockets = new Map<string, unknown>();
    for (const [address, { udp, tcp }] of this.#server.sockets) {
      if (udp === undefined || tcp === undefined) continue;
      sockets.set(socketKey("udp", address), udp);
      sockets.set(socketKey("tcp", address), tcp);
    }
    return { names: this.#table, activeVips, sockets };
  }

  /** Answers what another process has answered, at the same sockets. What is in the kernel stays that one's. */
  async inherit({ names, suspects }: Pick<HandoverState, "names" | "suspects">): Promise<void> {
    this.#suspects = new Set(suspects);
    this.#server.suspect(suspects);
    await this.#server.update(names);
  }

  /** Leaves everything to a process that has inherited it, but for the answers that are due here still. */
  async leave(): Promise<void> {
    this.#isDraining = true;
    void this.#server.drain().then(() => {
      this.#isDraining = false;
    });
    await this.#vips?.close({ isLast: false });
    await this.#door?.close({ isLast: false });
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** @param isLast nobody takes over: what is ours in the kernel goes. */
  async close(options: { readonly isLast: boolean }): Promise<void> {
    await this.#server.close();
    await this.#vips?.close(options);
    await this.#door?.close(options);
  }

  async #balance(): Promise<void> {
    await this.#vips?.update(demoteSuspects(this.#table, this.#suspects));
  }
}

/** The sockets of the name server among those that are inherited, by address. */
export function inheritedNames({
  names,
  sockets,
}: Pick<HandoverState, "names" | "sockets">): ReadonlyMap<string, DnsSockets> {
  const found = new Map<string, DnsSockets>();
  for (const { gateway } of names.networks) {
    const [udp, tcp] = [sockets.get(socketKey("udp", gateway)), sockets.get(socketKey("tcp", gateway))];
    if (udp !== undefined && tcp !== undefined) found.set(gateway, { udp, tcp });
  }
  return found;
}

function socketKey(protocol: "udp" | "tcp", address: string): string {
  return `names-${protocol}/${address}`;
}
