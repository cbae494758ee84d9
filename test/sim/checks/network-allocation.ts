import { parseIpv4, parseSubnet, type Subnet, subnetHas, subnetsOverlap, type VirtualIp } from "@berth/proto";
import { networkLayout } from "../../../packages/control-plane/src/core/allocator/address-pool.js";
import type { SimHost } from "../cluster/sim-host.js";
import type { SimContainer } from "../docker/sim-container.js";
import { isIn, networkIdOf, vniOf } from "../docker/sim-networks.js";
import type { CheckContext } from "./check-context.js";
import type { Allocation, RecordChange } from "./records.js";

/** N1 and N2: subnets, VNIs, ranges and addresses of overlay networks are never allocated twice. */
export class NetworkAllocation {
  readonly #context: CheckContext;
  /**
   * The last service of each virtual IP, by `NETWORK/ADDRESS`. A history is shorter than the quarantine of one hour.
   */
  readonly #holders = new Map<string, string>();

  constructor(context: CheckContext) {
    this.#context = context;
  }

  onChange({ allocations: leases }: RecordChange): void {
    for (const lease of leases) this.#check(lease);
  }

  #check(lease: Allocation): void {
    if (lease.kind === "network") this.#checkNetwork(lease.network.id);
    else if (lease.kind === "range") this.#checkRange(lease.range.networkId, lease.range.nodeId);
    else this.#checkVip(lease.vip);
  }

  #checkNetwork(id: string): void {
    const { records, report } = this.#context;
    const network = records.networks.get(id);
    const own = parseSubnet(network?.subnet ?? "");
    if (network === undefined || own === undefined) {
      report("N1", `network ${id} has no subnet`);
      return;
    }
    for (const other of records.networks.values()) {
      if (other.id === id) continue;
      const its = parseSubnet(other.subnet);
      if (its !== undefined && subnetsOverlap(own, its)) {
        report("N1", `networks ${id} and ${other.id} have ${network.subnet} and ${other.subnet}`);
      }
      if (other.vni === network.vni) report("N1", `networks ${id} and ${other.id} have VNI ${network.vni}`);
    }
    for (const { description, id: nodeId } of records.nodes.values()) {
      const address = parseIpv4(description?.address ?? "");
      if (address !== undefined && subnetHas(own, address)) {
        report("N1", `network ${id} (${network.subnet}) holds the address of node ${nodeId}`);
      }
    }
  }

  #checkRange(networkId: string, nodeId: string): void {
    const { records, report } = this.#context;
    const subnet = parseSubnet(records.networks.get(networkId)?.subnet ?? "");
    const range = records.ranges.get(`${networkId}/${nodeId}`);
    const own = parseSubnet(range?.range ?? "");
    if (subnet === undefined || own === undefined || range === undefined) {
      report("N1", `node ${nodeId} has a range of network ${networkId}, which does not exist`);
      return;
    }
    const what = `node ${nodeId} has ${range.range} of network ${networkId}`;
    const gateway = parseIpv4(range.gateway);
    if (gateway === undefined || !subnetHas(own, gateway))
      report("N1", `${what}, but its gateway is ${range.gateway}`);
    if (!subnetHas(subnet, own.base) || own.base < firstOf(subnet))
      report("N1", `${what}, outside of the part for hosts`);
    for (const other of records.rangesOf(networkId)) {
      const its = parseSubnet(other.range);
      if (other.nodeId === nodeId || its === undefined || !subnetsOverlap(own, its)) continue;
      report("N1", `${what}, and node ${other.nodeId} ${other.range}`);
    }
  }

  #checkVip({ networkId, serviceId, address }: VirtualIp): void {
    const { records, report } = this.#context;
    const number = parseIpv4(address);
    const subnet = parseSubnet(records.networks.get(networkId)?.subnet ?? "");
    const what = `service ${serviceId} has ${address} in network ${networkId}`;
    if (number === undefined || subnet === undefined || !subnetHas(subnet, number)) {
      report("N1", `${what}, which is outside of its subnet`);
      return;
    }
    for (const { range, nodeId } of records.rangesOf(networkId)) {
      const its = parseSubnet(range);
      if (its !== undefined && subnetHas(its, number))
        report("N1", `${what}, which is in the range of node ${nodeId}`);
    }
    const key = `${networkId}/${address}`;
    const holder = this.#holders.get(key);
    if (holder !== undefined && holder !== serviceId) {
      report("N2", `${what}, which service ${holder} had less than an hour ago`);
    }
    this.#holders.set(key, serviceId);
  }

  /** Checks that no other container has the addresses of a started one, even on disconnected hosts. */
  onStarted(hostName: string, container: SimContainer): void {
    const { cluster, records, conditions: contact, report } = this.#context;
    const own = cluster.hosts.find(({ name }) => name === hostName);
    if (own === undefined || contact.isUnknownNode(hostName)) return;
    for (const { network, address } of own.docker.networks.endpointsOf(container)) {
      const id = networkIdOf(network.body);
      if (id === "") continue;
      const what = `${container.name} on ${hostName} has ${address} in network ${id}`;
      for (const host of cluster.hosts)
        this.#checkOther(host, { container, hostName, vni: vniOf(network), id, address, what });
      for (const vip of records.vipsOf(id)) {
        if (vip.address === address)
          report("N1", `${what}, which is the virtual IP of service ${vip.serviceId}`);
      }
      for (const { gateway, nodeId } of records.rangesOf(id)) {
        if (gateway === address) report("N1", `${what}, which is the gateway on node ${nodeId}`);
      }
    }
  }

  #checkOther(
    host: SimHost,
    own: {
      readonly container: SimContainer;
      readonly hostName: string;
      readonly vni: number;
      readonly id: string;
      readonly address: string;
      readonly what: string;
    },
  ): void {
    const { conditions: contact, report } = this.#context;
    if (contact.isUnknownNode(host.name)) return;
    for (const network of host.docker.networks.ours) {
      if (vniOf(network) !== own.vni) continue;
      const id = networkIdOf(network.body);
      if (id !== own.id)
        report("N1", `${own.what}, whose VNI ${own.vni} is also that of ${id} on ${host.name}`);
      for (const [containerId, address] of network.addresses) {
        if (address !== own.address || containerId === own.container.id) continue;
        // A static address: a task on a disconnected host keeps it while its replacement runs.
        const isChosen = !isIn(network.body.IPAM.Config[0]?.IPRange ?? "", address);
        if (isChosen && (contact.isDisrupted(host.name) || contact.isDisrupted(own.hostName))) continue;
        report("N1", `${own.what}, and so has ${containerId} on ${host.name}`);
      }
    }
  }
}

function firstOf(subnet: Subnet): number {
  const { virtualIps: vips } = networkLayout(subnet);
  return vips.base + 2 ** (32 - vips.prefix);
}
