import { EndpointMode, type ServiceSpec, type VirtualIp } from "@berth/proto";
import { staticAddresses } from "../../core/allocator/static-addresses.js";
import { type AttachedNetwork, updateVirtualIps } from "../../core/allocator/virtual-ips.js";
import type { Change } from "../../state/change.js";
import type { ClusterState } from "../../state/cluster-state.js";

/**
 * Returns the changes that give a service a virtual IP in each of its networks. They also release its virtual IPs in
 * networks that it has left. The controller writes them with the service's plan.
 */
export function virtualIpChanges(
  serviceId: string,
  spec: ServiceSpec,
  { state, nowMs }: { readonly state: ClusterState; readonly nowMs: number },
): readonly Change[] {
  const { vips } = state.networks;
  const networkIds = spec.endpointMode === EndpointMode.DNSRR ? [] : findNetworkIds(spec, state);
  const serviceVips = [...vips.ofMember(serviceId).values()];
  if (isUpToDate(networkIds, serviceVips)) return [];
  const attached = networkIds.flatMap((networkId) => attachedNetwork(networkId, state) ?? []);
  const { put, expired } = updateVirtualIps(serviceId, { attached, held: serviceVips, nowMs });
  return [...expired.map(deletion), ...put.map((vip): Change => ({ kind: "put-vip", vip }))];
}

/** Returns the changes that release all virtual IPs of a removed service. */
export function virtualIpReleases(serviceId: string, state: ClusterState, nowMs: number): readonly Change[] {
  const serviceVips = [...state.networks.vips.ofMember(serviceId).values()];
  const { put } = updateVirtualIps(serviceId, { attached: [], held: serviceVips, nowMs });
  return put.map((vip) => ({ kind: "put-vip", vip }));
}

function findNetworkIds(spec: ServiceSpec, state: ClusterState): readonly string[] {
  return (spec.task?.networks ?? []).flatMap(({ network }) => state.networks.idOf(network) ?? []);
}

/** Returns whether the virtual IPs match the networks, which is the usual case when a service is reconciled. */
function isUpToDate(networkIds: readonly string[], held: readonly VirtualIp[]): boolean {
  const inUse = held.filter(({ releasedAtMs }) => releasedAtMs === 0);
  return inUse.length === networkIds.length && inUse.every(({ networkId }) => networkIds.includes(networkId));
}

function attachedNetwork(id: string, state: ClusterState): AttachedNetwork | undefined {
  const network = state.networks.get(id);
  if (network?.spec === undefined) return undefined;
  const { name } = network.spec;
  return {
    id,
    subnet: network.subnet,
    vips: [...state.networks.vips.ofNetwork(id).values()],
    staticAddresses: staticAddresses(state.services.ofNetwork(name).values(), name),
  };
}

function deletion({ networkId, serviceId }: VirtualIp): Change {
  return { kind: "delete-vip", networkId, serviceId };
}
