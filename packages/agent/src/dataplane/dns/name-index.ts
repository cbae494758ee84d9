import type { DnsNetwork, DnsService, DnsTable, DnsTask } from "./dns-table.js";

/** Who an address belongs to. */
export interface Reverse {
  readonly networkId: string;
  /** "api.shop_default", or "2.api.shop_default" for the task of slot 2. */
  readonly name: string;
}

/** A names table, made ready for questions. Names are in lower case here: DNS knows no other. */
export class DnsIndex {
  readonly #networks = new Map<string, DnsNetwork>();
  readonly #byGateway = new Map<string, string>();
  /** Network id → name → services. Two services may share an alias. */
  readonly #services = new Map<string, Map<string, DnsService[]>>();
  readonly #reverse = new Map<string, Reverse>();
  readonly #askers = new Map<string, DnsTable["clients"][number]>();

  constructor({ networks, services, clients: askers }: DnsTable) {
    for (const network of networks) {
      this.#networks.set(network.id, network);
      this.#byGateway.set(network.gateway, network.id);
    }
    for (const service of services) this.#add(service);
    for (const asker of askers) this.#askers.set(asker.address, asker);
  }

  network(id: string): DnsNetwork | undefined {
    return this.#networks.get(id);
  }

  /** The container that asks from an address; undefined for one that berth did not make. */
  client(address: string): DnsTable["clients"][number] | undefined {
    return this.#askers.get(address);
  }

  networkOfGateway(gateway: string): string | undefined {
    return this.#byGateway.get(gateway);
  }

  /** Services of a network that are called so there: by their name in the stack, their full name or an alias. */
  find(networkId: string, name: string): readonly DnsService[] {
    return this.#services.get(networkId)?.get(name) ?? [];
  }

  whose(address: string): Reverse | undefined {
    return this.#reverse.get(address);
  }

  #add(service: DnsService): void {
    const { networkId } = service;
    const names = this.#services.get(networkId) ?? new Map<string, DnsService[]>();
    this.#services.set(networkId, names);
    for (const name of new Set([...service.names, service.service].map((each) => each.toLowerCase()))) {
      const known = names.get(name);
      if (known === undefined) names.set(name, [service]);
      else known.push(service);
    }
    this.#addReverse(service);
  }

  #addReverse({ networkId, names, service, vip, endpoints, draining }: DnsService): void {
    const name = `${names[0] ?? service}.${this.#networks.get(networkId)?.name ?? networkId}`;
    if (vip !== "") this.#reverse.set(vip, { networkId, name });
    const tasks: readonly DnsTask[] = [...endpoints, ...draining];
    for (const { address, slot } of tasks) {
      this.#reverse.set(address, { networkId, name: slot > 0 ? `${slot}.${name}` : name });
    }
  }
}
