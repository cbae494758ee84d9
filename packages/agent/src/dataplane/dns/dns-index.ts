import type { DnsClient, DnsNetwork, DnsService, DnsTable } from "./dns-table.js";

/** The service or task that an address belongs to. */
export interface ReverseEntry {
  readonly networkId: string;
  /** "api.shop_default", or "2.api.shop_default" for the task of slot 2. */
  readonly name: string;
}

/** A DNS table, indexed for lookups. Names are in lower case, because DNS ignores case. */
export class DnsIndex {
  readonly #networks = new Map<string, DnsNetwork>();
  readonly #networkByGateway = new Map<string, string>();
  /** By network ID, then by name. Several services may share an alias. */
  readonly #services = new Map<string, Map<string, DnsService[]>>();
  readonly #reverse = new Map<string, ReverseEntry>();
  readonly #clients = new Map<string, DnsClient>();

  constructor({ networks, services, clients }: DnsTable) {
    for (const network of networks) {
      this.#networks.set(network.id, network);
      this.#networkByGateway.set(network.gateway, network.id);
    }
    for (const service of services) {
      this.#addNames(service);
      this.#addAddresses(service);
    }
    for (const client of clients) this.#clients.set(client.address, client);
  }

  network(id: string): DnsNetwork | undefined {
    return this.#networks.get(id);
  }

  /** Returns the container with this address, or undefined if berth did not create it. */
  client(address: string): DnsClient | undefined {
    return this.#clients.get(address);
  }

  networkOfGateway(gateway: string): string | undefined {
    return this.#networkByGateway.get(gateway);
  }

  /** Returns the services with this name in a network: their name in the stack, their full name or an alias. */
  find(networkId: string, name: string): readonly DnsService[] {
    return this.#services.get(networkId)?.get(name) ?? [];
  }

  reverse(address: string): ReverseEntry | undefined {
    return this.#reverse.get(address);
  }

  #addNames(service: DnsService): void {
    const { networkId } = service;
    const names = this.#services.get(networkId) ?? new Map<string, DnsService[]>();
    this.#services.set(networkId, names);
    for (const name of new Set([...service.names, service.service].map((each) => each.toLowerCase()))) {
      const existing = names.get(name);
      if (existing === undefined) names.set(name, [service]);
      else existing.push(service);
    }
  }

  #addAddresses({ networkId, names, service, vip, endpoints, draining }: DnsService): void {
    const name = `${names[0] ?? service}.${this.#networks.get(networkId)?.name ?? networkId}`;
    if (vip !== "") this.#reverse.set(vip, { networkId, name });
    for (const { address, slot } of [...endpoints, ...draining]) {
      this.#reverse.set(address, { networkId, name: slot > 0 ? `${slot}.${name}` : name });
    }
  }
}
