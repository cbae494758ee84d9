import type { AssignedNetwork, Assignments, DnsEntry, ServiceSpec } from "@berth/proto";
import { networkIdOfDnsEntry } from "../../core/allocator/dns-entries.js";

/** Where it is looked up what is true of networks now. */
export interface NetworkSource {
  networkIdOf(name: string): string | undefined;
  /** The network as the agent's node sees it; undefined when it has no part of it. */
  network(networkId: string): AssignedNetwork | undefined;
  /** Keys of the names that there may be in a network. */
  dnsKeys(networkId: string): Iterable<string>;
  dnsEntry(key: string): DnsEntry | undefined;
}

type News = Pick<Assignments, "networks" | "removedNetworkIds" | "dnsEntries" | "removedDnsKeys">;

/** What one agent has been told of networks and of the names in them: of those that its tasks are in. */
export class NetworkFeed {
  readonly #source: NetworkSource;
  readonly #networksOfTask = new Map<string, readonly string[]>();
  readonly #uses = new Map<string, number>();
  /** Keys of the names that were sent, by network. */
  readonly #sent = new Map<string, Set<string>>();
  readonly #staleNetworks = new Set<string>();
  readonly #staleNames = new Set<string>();

  constructor(source: NetworkSource) {
    this.#source = source;
  }

  get isStale(): boolean {
    return this.#staleNetworks.size > 0 || this.#staleNames.size > 0;
  }

  /** True when where connections go is out of date. */
  get isTrafficStale(): boolean {
    return this.#staleNames.size > 0;
  }

  networkChanged(networkId: string): void {
    if (this.#uses.has(networkId)) this.#staleNetworks.add(networkId);
  }

  dnsEntryChanged(key: string): void {
    if (this.#sent.has(networkIdOfDnsEntry(key))) this.#staleNames.add(key);
  }

  taskSent(taskId: string, spec: ServiceSpec | undefined): void {
    const joined = spec?.task?.networks ?? [];
    if (joined.length === 0 || this.#networksOfTask.has(taskId)) return;
    const ids = joined.flatMap(({ network }) => this.#source.networkIdOf(network) ?? []);
    this.#networksOfTask.set(taskId, ids);
    for (const id of ids) {
      const uses = this.#uses.get(id) ?? 0;
      this.#uses.set(id, uses + 1);
      if (uses === 0) this.#staleNetworks.add(id);
    }
  }

  taskForgotten(taskId: string): void {
    for (const id of this.#networksOfTask.get(taskId) ?? []) {
      const uses = (this.#uses.get(id) ?? 1) - 1;
      if (uses > 0) {
        this.#uses.set(id, uses);
        continue;
      }
      this.#uses.delete(id);
      this.#staleNetworks.add(id);
    }
    this.#networksOfTask.delete(taskId);
  }

  /** What has changed since it was asked last. */
  news(): News {
    const news: News = { networks: [], removedNetworkIds: [], dnsEntries: [], removedDnsKeys: [] };
    for (const id of this.#staleNetworks) this.#tellNetwork(id, news);
    this.#staleNetworks.clear();
    for (const key of this.#staleNames) this.#tellName(key, news);
    this.#staleNames.clear();
    return news;
  }

  #tellNetwork(id: string, news: News): void {
    const network = this.#uses.has(id) ? this.#source.network(id) : undefined;
    const sent = this.#sent.get(id);
    if (network !== undefined) {
      news.networks.push(network);
      if (sent !== undefined) return;
      this.#sent.set(id, new Set());
      for (const key of this.#source.dnsKeys(id)) this.#staleNames.add(key);
    } else if (sent !== undefined) {
      this.#sent.delete(id);
      news.removedNetworkIds.push(id);
      news.removedDnsKeys.push(...sent);
    }
  }

  #tellName(key: string, news: News): void {
    const sent = this.#sent.get(networkIdOfDnsEntry(key));
    if (sent === undefined) return;
    const entry = this.#source.dnsEntry(key);
    if (entry !== undefined) {
      sent.add(key);
      news.dnsEntries.push(entry);
    } else if (sent.delete(key)) news.removedDnsKeys.push(key);
  }
}
