import { type Network, type NetworkRange, parseSubnet, type Subnet, type VirtualIp } from "@berth/proto";
import { networkLayout } from "../core/allocator/address-pool.js";
import type { NetworkRanges } from "../core/model/snapshot.js";
import { GroupedMap } from "./grouped-map.js";
import { MembershipTable } from "./membership-table.js";

/** The networks in the leader's memory, with the ranges of their nodes and the virtual IPs of their services. */
export class NetworkTable implements NetworkRanges {
  /** The ranges of the networks. The members are nodes. */
  readonly ranges = new MembershipTable<NetworkRange>(({ nodeId }) => nodeId);
  /** The virtual IPs in the networks. The members are services. */
  readonly vips = new MembershipTable<VirtualIp>(({ serviceId }) => serviceId);
  readonly #byId = new Map<string, Network>();
  readonly #idByName = new Map<string, string>();
  readonly #byStack = new GroupedMap<Network>();
  readonly #removing = new Map<string, Network>();
  /** Number of ranges that fit into each network. Cached, because placement reads it for every candidate. */
  readonly #maxRanges = new Map<string, number>();
  readonly #subnets = new Map<string, Subnet>();

  get size(): number {
    return this.#byId.size;
  }

  get(networkId: string): Network | undefined {
    return this.#byId.get(networkId);
  }

  idOf(name: string): string | undefined {
    return this.#idByName.get(name);
  }

  byName(name: string): Network | undefined {
    const id = this.#idByName.get(name);
    return id === undefined ? undefined : this.#byId.get(id);
  }

  hasRangeFor(nodeId: string, name: string): boolean {
    const id = this.#idByName.get(name);
    if (id === undefined) return true;
    const existingRanges = this.ranges.ofNetwork(id);
    const maxRanges = this.#maxRanges.get(id) ?? Number.POSITIVE_INFINITY;
    return existingRanges.has(nodeId) || existingRanges.size < maxRanges;
  }

  subnetOf(name: string): Subnet | undefined {
    const id = this.#idByName.get(name);
    return id === undefined ? undefined : this.#subnets.get(id);
  }

  values(): IterableIterator<Network> {
    return this.#byId.values();
  }

  ofStack(stack: string): ReadonlyMap<string, Network> {
    return this.#byStack.get(stack);
  }

  /** Returns the networks that are marked for removal. */
  removing(): ReadonlyMap<string, Network> {
    return this.#removing;
  }

  put(network: Network): void {
    this.delete(network.id);
    this.#byId.set(network.id, network);
    if (network.removing) this.#removing.set(network.id, network);
    const subnet = parseSubnet(network.subnet);
    if (subnet !== undefined) {
      this.#subnets.set(network.id, subnet);
      const { firstRange, endRange } = networkLayout(subnet);
      this.#maxRanges.set(network.id, endRange - firstRange);
    }
    if (network.spec === undefined) return;
    this.#idByName.set(network.spec.name, network.id);
    this.#byStack.set(network.spec.stack, network.id, network);
  }

  delete(networkId: string): void {
    const network = this.#byId.get(networkId);
    if (network === undefined) return;
    this.#byId.delete(networkId);
    this.#removing.delete(networkId);
    this.#maxRanges.delete(networkId);
    this.#subnets.delete(networkId);
    const { spec } = network;
    if (spec === undefined) return;
    if (this.#idByName.get(spec.name) === networkId) this.#idByName.delete(spec.name);
    this.#byStack.delete(spec.stack, networkId);
  }
}
