import { type AssignedNetwork, type DnsEntry, parseSubnet, subnetText } from "@berth/proto";
import { bridgeName, isBridgeName, overlayMtu, vniOfTunnel } from "./devices.js";
import { networkBody, networkConfig } from "./docker-network.js";
import { conflictingRoute, type HostRoute } from "./host-routes.js";
import type { LinkStep, NetworkStep } from "./network-step.js";
import type { BridgePort, ObservedHostNetworks } from "./observed-state.js";
import { planTunnel } from "./plan-tunnel.js";
import { WIREGUARD_DEVICE } from "./wireguard.js";

const NO_ENCRYPTION_YET = `setting up encryption: device ${WIREGUARD_DEVICE} does not exist yet`;

/** The properties of this host that its networks depend on. */
export interface NetworkHost {
  /** The address at which the other hosts reach this host. */
  readonly address: string;
  /** Why this host cannot have overlay networks. Empty if it can. */
  readonly overlayProblem: string;
  /** Why this host cannot have encrypted networks. Empty if it can. */
  readonly encryptionProblem: string;
  readonly wireguardPublicKey: string;
}

/** Whether containers on this host can join a network. */
export type NetworkState =
  | { readonly kind: "ready" }
  /** Containers can join later. */
  | { readonly kind: "waiting"; readonly reason: string }
  /** This host cannot have the network. Retrying does not help. */
  | { readonly kind: "refused"; readonly reason: string };

export interface NetworkPlan {
  /** The state once all steps have succeeded. */
  readonly state: NetworkState;
  /** The next steps, in order. The host is observed again after they have run. */
  readonly steps: readonly NetworkStep[];
}

/**
 * Plans the next steps for one overlay network that tasks on this host use, from the observed state alone: first the Docker
 * network with its bridge, then the VXLAN device on that bridge, then the forwarding entries for the other hosts. A new
 * network gets all of them in one plan, because its tasks wait for it.
 */
export function planNetwork(
  network: AssignedNetwork,
  observed: ObservedHostNetworks,
  host: NetworkHost,
  dnsEntries: readonly DnsEntry[] = [],
): NetworkPlan {
  const refusal = refusalReason(network, host);
  if (refusal !== "") return refused(refusal);
  if (observed.uplinkMtu === 0) {
    return waiting(`no network device of this host has the address ${host.address}`);
  }
  const existing = observed.networks.find(({ networkId }) => networkId === network.id);
  if (existing === undefined) return planCreation(network, observed, host, dnsEntries);
  if (existing.config !== networkConfig(network)) {
    return waiting("its settings have changed; waiting until no container uses the old network", [
      { kind: "remove-network", dockerId: existing.id },
    ]);
  }
  const bridge = observed.links.get(bridgeName(network.vni));
  if (bridge?.kind !== "bridge") {
    return waiting(
      `bridge ${bridgeName(network.vni)} does not exist on this host: dockerd may be running elsewhere`,
    );
  }
  if (lacksEncryption(network, observed)) return waiting(NO_ENCRYPTION_YET);
  return {
    state: { kind: "ready" },
    steps: planLinks(network, observed, dnsEntries, { address: host.address, mtu: existing.mtu }),
  };
}

function lacksEncryption({ spec }: AssignedNetwork, { links }: ObservedHostNetworks): boolean {
  return (spec?.encrypted ?? false) && !links.has(WIREGUARD_DEVICE);
}

/** Plans the devices of a network on its bridge, which exists or is created by an earlier step. */
function planLinks(
  network: AssignedNetwork,
  observed: ObservedHostNetworks,
  dnsEntries: readonly DnsEntry[],
  options: { readonly address: string; readonly mtu: number },
): readonly LinkStep[] {
  const bridge = bridgeName(network.vni);
  const isFiltered = observed.links.get(bridge)?.callsIptables ?? false;
  return [
    ...(isFiltered ? [] : [{ kind: "filter-bridge", bridge } as const]),
    ...planTunnel(network, observed, dnsEntries, options),
  ];
}

/** Plans hairpin mode for the bridge ports of containers that started since the last observation. */
export function planHairpins(ports: Iterable<BridgePort>): readonly LinkStep[] {
  const devices = Array.from(ports)
    .filter(({ kind, master, isHairpin }) => kind === "veth" && isBridgeName(master) && !isHairpin)
    .map(({ name }) => name);
  return devices.length === 0 ? [] : [{ kind: "set-hairpins", devices }];
}

/** Plans the removal of berth's networks and VXLAN devices that no task on this host uses. */
export function planRemovals(
  assigned: readonly AssignedNetwork[],
  { networks, links }: ObservedHostNetworks,
): readonly NetworkStep[] {
  const ids = new Set(assigned.map(({ id }) => id));
  const vnis = new Set(assigned.map(({ vni }) => vni));
  const unused = networks.filter(({ networkId }) => networkId !== "" && !ids.has(networkId));
  const steps: NetworkStep[] = unused.map(({ id }) => ({ kind: "remove-network", dockerId: id }));
  for (const { name, kind } of links.values()) {
    const vni = vniOfTunnel(name);
    if (kind !== "vxlan" || vni === undefined) continue;
    // dockerd refuses to remove a network with containers. They keep their tunnel until the bridge is gone.
    const isInUse = vnis.has(vni) || links.has(bridgeName(vni));
    if (!isInUse) steps.push({ kind: "delete-link", device: name });
  }
  return steps;
}

function refusalReason(
  { spec }: AssignedNetwork,
  { address, overlayProblem, encryptionProblem }: NetworkHost,
): string {
  if (overlayProblem !== "") return `this host does not support overlay networks: ${overlayProblem}`;
  if (!spec?.encrypted) return "";
  if (address.includes(":")) return "encrypted networks do not support hosts with IPv6 addresses";
  return encryptionProblem && `this host does not support encrypted networks: ${encryptionProblem}`;
}

function planCreation(
  network: AssignedNetwork,
  observed: ObservedHostNetworks,
  { address }: NetworkHost,
  dnsEntries: readonly DnsEntry[],
): NetworkPlan {
  const { networks, routes, uplinkMtu } = observed;
  const name = network.spec?.name ?? "";
  const foreign = networks.find((other) => other.name === name);
  if (foreign !== undefined && foreign.networkId !== "") {
    return waiting(
      `containers still use a former network named ${name} (${foreign.id.slice(0, 12)}) on this host: after a restore from a backup, "berth backup complete" removes them`,
    );
  }
  if (foreign !== undefined) {
    return waiting(
      `this host already has a Docker network named ${name} (${foreign.id.slice(0, 12)}) that berth did not create; remove it`,
    );
  }
  const overlap = overlapReason(network, routes);
  if (overlap !== undefined) return refused(overlap);
  const maxMtu = maxNetworkMtu(network, uplinkMtu, address);
  const mtu = Math.min(network.mtu || network.spec?.mtu || maxMtu, maxMtu);
  const create = { kind: "create-network", body: networkBody(network, mtu) } as const;
  if (lacksEncryption(network, observed)) return waiting(NO_ENCRYPTION_YET, [create]);
  return {
    state: { kind: "ready" },
    steps: [create, ...planLinks(network, observed, dnsEntries, { address, mtu })],
  };
}

function overlapReason({ subnet: text }: AssignedNetwork, routes: readonly HostRoute[]): string | undefined {
  const subnet = parseSubnet(text);
  const route = subnet && conflictingRoute(subnet, routes);
  if (route === undefined) return undefined;
  const target = `${subnetText(route.subnet)}, which this host reaches through ${route.device || "gateways"}`;
  return `BERTH_NETWORK_OVERLAP: subnet ${text} overlaps ${target}; choose a different subnet for the network (ipam), or a different --network-pool for the servers`;
}

function maxNetworkMtu({ spec }: AssignedNetwork, uplinkMtu: number, address: string): number {
  return overlayMtu(uplinkMtu, { isIpv6: address.includes(":"), isEncrypted: spec?.encrypted ?? false });
}

/** Returns a message for each network whose MTU is too large for this host's uplink. */
export function mtuProblems(
  networks: readonly AssignedNetwork[],
  { uplinkMtu, address }: { readonly uplinkMtu: number; readonly address: string },
): readonly string[] {
  if (uplinkMtu === 0) return [];
  return networks.flatMap((network) => {
    const maxMtu = maxNetworkMtu(network, uplinkMtu, address);
    if (network.mtu <= maxMtu) return [];
    return [
      `network ${network.spec?.name}: its MTU is ${network.mtu}, but this host's uplink allows ${maxMtu}: large UDP packets to this host are lost; raise the uplink's MTU from ${uplinkMtu}, or recreate the network`,
    ];
  });
}

function refused(reason: string): NetworkPlan {
  return { state: { kind: "refused", reason }, steps: [] };
}

function waiting(reason: string, steps: readonly NetworkStep[] = []): NetworkPlan {
  return { state: { kind: "waiting", reason }, steps };
}
