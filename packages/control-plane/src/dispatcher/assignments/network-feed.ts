import type { AssignedNetwork, Assignments, DnsEntry, ServiceSpec } from "@berth/proto";
import { networkIdOfDnsEntry } from "../../core/allocator/dns-entries.js";

/** Reads the current records of networks and their DNS entries. */
export interface NetworkSource {
  networkIdOf(name: string): string | undefined;
  /** Returns the network with the node's own range, or undefined if the node has no range in the network. */
  network(networkId: string): AssignedNetwork | undefined;
  /** Returns the keys of all DNS entries that the network can have. */
  dnsKeys(networkId: string): Iterable<string>;
  dnsEntry(key: string): DnsEntry | undefined;
}

type NetworkChanges = Pick<Assignments, "networks" | "removedNetworkIds" | "dnsEntries" | "removedDnsKeys">;

/** Builds the network part of one agent's assignments: the networks of its tasks, and the DNS entries of these networks. */
export class NetworkFeed {
  readonly #source: NetworkSource;
  readonly #networksOfTask = new Map<string, readonly string[]>();
  /** Number of sent tasks in each network. */
  readonly #taskCounts = new Map<string, number>();
  /** Keys of the DNS entries that were sent, by network. */
  readonly #sentDnsKeys = new Map<string, Set<string>>();
  readonly #staleNetworks = new Set<string>();
  readonly #staleDnsKeys = new Set<string>();

  constructor(source: NetworkSource) {
    this.#source = source;
  }

  get isStale(): boolean {
    return this.#staleNetworks.size > 0 || this.#staleDnsKeys.size > 0;
  }

  /** Whether the agent's DNS table is out of date. */
  get isDnsTableStale(): boolean {
    return this.#staleDnsKeys.size > 0;
  }

  markNetworkStale(networkId: string): void {
    if (this.#taskCounts.has(networkId)) this.#staleNetworks.add(networkId);
  }

  markDnsEntryStale(key: string): void {
    if (this.#sentDnsKeys.has(networkIdOfDnsEntry(key))) this.#staleDnsKeys.add(key);
  }

  addTask(taskId: string, spec: ServiceSpec | undefined): void {
    const attachments = spec?.task?.networks ?? [];
    if (attachments.length === 0 || this.#networksOfTask.has(taskId)) return;
    const ids = attachments.flatMap(({ network }) => this.#source.networkIdOf(network) ?? []);
    this.#networksOfTask.set(taskId, ids);
    for (const id of ids) {
      const count = this.#taskCounts.get(id) ?? 0;
      this.#taskCounts.set(id, count + 1);
      if (count === 0) this.#staleNetworks.add(id);
    }
  }

  removeTask(taskId: string): void {
    for (const id of this.#networksOfTask.get(taskId) ?? []) {
      const count = (this.#taskCounts.get(id) ?? 1) - 1;
      if (count > 0) {
        this.#taskCounts.set(id, count);
        continue;
      }
      this.#taskCounts.delete(id);
      this.#staleNetworks.add(id);
    }
    this.#networksOfTask.delete(taskId);
  }

  /** Returns the changes since the last call, and records them as sent. */
  takeChanges(): NetworkChanges {
    const changes: NetworkChanges = {
      networks: [],
      removedNetworkIds: [],
      dnsEntries: [],
      removedDnsKeys: [],
    };
    // Networks come first: a new network makes all of its DNS entries stale.
    for (const id of this.#staleNetworks) this.#collectNetworkChanges(id, changes);
    this.#staleNetworks.clear();
    for (const key of this.#staleDnsKeys) this.#collectDnsEntryChange(key, changes);
    this.#staleDnsKeys.clear();
    return changes;
  }

  /** Adds or removes the network for the agent, together with its DNS entries. */
  #collectNetworkChanges(id: string, changes: NetworkChanges): void {
    const network = this.#taskCounts.has(id) ? this.#source.network(id) : undefined;
    const sentKeys = this.#sentDnsKeys.get(id);
    if (network !== undefined) {
      changes.networks.push(network);
      if (sentKeys !== undefined) return;
      this.#sentDnsKeys.set(id, new Set());
      for (const key of this.#source.dnsKeys(id)) this.#staleDnsKeys.add(key);
    } else if (sentKeys !== undefined) {
      this.#sentDnsKeys.delete(id);
      changes.removedNetworkIds.push(id);
      changes.removedDnsKeys.push(...sentKeys);
    }
  }

  #collectDnsEntryChange(key: string, changes: NetworkChanges): void {
    const sentKeys = this.#sentDnsKeys.get(networkIdOfDnsEntry(key));
    if (sentKeys === undefined) return;
    const entry = this.#source.dnsEntry(key);
    if (entry !== undefined) {
      sentKeys.add(key);
      changes.dnsEntries.push(entry);
    } else if (sentKeys.delete(key)) {
      changes.removedDnsKeys.push(key);
    }
  }
}
