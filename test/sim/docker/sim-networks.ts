import { ipv4Text, parseIpv4, parseSubnet, type Subnet, subnetSize, subnetsOverlap } from "@berth/proto";
import type { EndpointBody } from "../../../packages/agent/src/core/docker/create-body.js";
import { NETWORK_LABEL } from "../../../packages/agent/src/core/docker/labels.js";
import type { ContainerNetwork } from "../../../packages/agent/src/core/docker/observed-container.js";
import { isBridgeName } from "../../../packages/agent/src/core/networks/devices.js";
import type { NetworkBody } from "../../../packages/agent/src/core/networks/docker-network.js";
import {
  type ObservedNetwork,
  parseNetworks,
} from "../../../packages/agent/src/core/networks/docker-network.js";
import { linkWith } from "../../../packages/agent/src/core/networks/testing.js";
import { EngineError } from "../../../packages/agent/src/engine/engine-error.js";
import type { SimContainer } from "./sim-container.js";
import type { SimDevices } from "./sim-devices.js";

const BRIDGE_OPTION = "com.docker.network.bridge.name";

/** A network of one host's Docker, with the addresses in use. */
export interface DockerNetwork {
  readonly id: string;
  readonly name: string;
  readonly body: NetworkBody;
  readonly bridge: string;
  readonly subnet: Subnet;
  /** Addresses of running containers, by container ID. */
  readonly addresses: Map<string, string>;
}

/** A container's address in a network, as Docker reports it. */
export interface Endpoint {
  readonly network: DockerNetwork;
  readonly address: string;
}

/** The networks of one host's Docker, with their bridges and address allocation. */
export class SimNetworks {
  readonly #host: string;
  readonly #devices: SimDevices;
  readonly #byId = new Map<string, DockerNetwork>();
  #created = 0;

  constructor(host: string, devices: SimDevices) {
    this.#host = host;
    this.#devices = devices;
  }

  /** The networks that berth created. */
  get ours(): readonly DockerNetwork[] {
    return [...this.#byId.values()].filter(({ body }) => networkIdOf(body) !== "");
  }

  list(): readonly ObservedNetwork[] {
    const json = [...this.#byId.values()].map(({ id, name, body }) => ({
      Id: id,
      Name: name,
      Labels: body.Labels,
    }));
    return parseNetworks(json);
  }

  create(body: NetworkBody): string {
    const { Name: name, IPAM, Options } = body;
    const bridge = Options[BRIDGE_OPTION] ?? "";
    const all = [...this.#byId.values()];
    if (all.some((other) => other.name === name)) {
      throw new EngineError("name-taken", `network with name ${name} already exists`);
    }
    const subnet = parseSubnet(IPAM.Config[0]?.Subnet ?? "");
    if (subnet === undefined) throw new EngineError("invalid", "invalid subnet");
    if (all.some((other) => subnetsOverlap(other.subnet, subnet))) {
      throw new EngineError("invalid", "Pool overlaps with other one on this address space");
    }
    if (all.some((other) => other.bridge === bridge)) {
      throw new EngineError("invalid", `networks have same bridge name ${bridge}`);
    }
    const id = `${this.#host}-net${++this.#created}`;
    this.#byId.set(id, { id, name, body, bridge, subnet, addresses: new Map() });
    this.#devices.add(linkWith({ name: bridge, kind: "bridge" }));
    return id;
  }

  remove(id: string): void {
    const network = this.#byId.get(id);
    if (network === undefined) return;
    if (network.addresses.size > 0) {
      throw new EngineError("conflict", `network ${network.name} id ${id} has active endpoints`);
    }
    this.#byId.delete(id);
    this.#devices.remove(network.bridge);
  }

  /** Creates missing bridges, as the daemon does when it starts. */
  makeBridges(): void {
    for (const { bridge } of this.#byId.values()) {
      if (!this.#devices.links.has(bridge)) this.#devices.add(linkWith({ name: bridge, kind: "bridge" }));
    }
  }

  /** Removes all networks from Docker's state. */
  wipe(): void {
    this.#byId.clear();
  }

  /** Connects a container that starts to all of its networks, or to none. */
  enter(container: SimContainer): void {
    try {
      for (const [name, endpoint] of container.endpoints) this.#attach(container, name, endpoint);
    } catch (error) {
      this.leave(container);
      throw error;
    }
  }

  leave(container: SimContainer): void {
    for (const network of this.#byId.values()) {
      if (network.addresses.delete(container.id)) this.#devices.remove(portName(container, network));
    }
  }

  /** Returns the networks of a running container. */
  endpointsOf({ id }: SimContainer): readonly Endpoint[] {
    return [...this.#byId.values()].flatMap((network) => {
      const address = network.addresses.get(id);
      return address === undefined ? [] : [{ network, address }];
    });
  }

  joinedBy(container: SimContainer): readonly ContainerNetwork[] {
    const running = new Map(this.endpointsOf(container).map((each) => [each.network.name, each]));
    return [...container.endpoints.keys()].map((name) => {
      const endpoint = running.get(name);
      if (endpoint === undefined) return { name, address: "", subnet: "", gateway: "" };
      const { network, address } = endpoint;
      const [{ Subnet: subnet = "", Gateway: gateway = "" } = {}] = network.body.IPAM.Config;
      return { name, address, subnet, gateway: network.body.Internal ? "" : gateway };
    });
  }

  exists(name: string): boolean {
    return [...this.#byId.values()].some((network) => network.name === name);
  }

  #attach(container: SimContainer, name: string, { IPAMConfig }: EndpointBody): void {
    const network = [...this.#byId.values()].find((each) => each.name === name);
    if (network === undefined) throw new EngineError("no-such-network", `network ${name} not found`);
    network.addresses.set(container.id, addressFor(network, IPAMConfig?.IPv4Address));
    const port = portName(container, network);
    this.#devices.add(linkWith({ name: port, kind: "veth", master: network.bridge }));
  }
}

/** Returns berth's ID of a network; empty for a foreign network. */
export function networkIdOf({ Labels }: NetworkBody): string {
  return Labels[NETWORK_LABEL] ?? "";
}

/** Returns the VXLAN network identifier. */
export function vniOf({ bridge }: DockerNetwork): number {
  return isBridgeName(bridge) ? Number(bridge.slice("bth".length)) : 0;
}

export const portName = ({ id }: SimContainer, { id: networkId }: DockerNetwork): string =>
  `veth-${id}-${networkId}`;

/** Returns the lowest free address, as Docker's allocator does. */
function addressFor({ body, addresses, name }: DockerNetwork, chosen: string | undefined): string {
  const [ipam] = body.IPAM.Config;
  const range = parseSubnet(ipam?.IPRange ?? "");
  const taken = new Set([
    ...addresses.values(),
    ipam?.Gateway,
    ...Object.values(ipam?.AuxiliaryAddresses ?? {}),
  ]);
  if (chosen !== undefined) {
    if (taken.has(chosen)) throw new EngineError("port-taken", "Address already in use");
    return chosen;
  }
  if (range === undefined) throw new EngineError("invalid", "invalid range");
  for (let address = range.base; address < range.base + subnetSize(range); address += 1) {
    if (!taken.has(ipv4Text(address)) && !isBroadcast(address, ipam?.Subnet ?? "")) return ipv4Text(address);
  }
  throw new EngineError("failed", `no available IPv4 addresses on this network's address pools: ${name}`);
}

function isBroadcast(address: number, subnetText: string): boolean {
  const subnet = parseSubnet(subnetText);
  return subnet !== undefined && address === subnet.base + subnetSize(subnet) - 1;
}

/** Returns true when a range such as "10.64.1.0/25" contains the address. */
export function isIn(range: string, address: string): boolean {
  const [subnet, number] = [parseSubnet(range), parseIpv4(address)];
  return (
    subnet !== undefined &&
    number !== undefined &&
    number >= subnet.base &&
    number < subnet.base + subnetSize(subnet)
  );
}
