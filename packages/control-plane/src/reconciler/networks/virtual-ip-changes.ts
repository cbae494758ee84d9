import { EndpointMode, type ServiceSpec, type VirtualIp } from "@berth/proto";
import { staticAddresses } from "../../core/allocator/static-addresses.js";
import { type AttachedNetwork, updateVirtualIps } from "../../core/allocator/virtual-ips.js";
import type { Change } from "../../state/change.js";
import type { ClusterState } from "../../state/cluster-state.js";

/** Returns the changes that give a service a virtual IP in each of its networks and release the others. */
export function virtualIpChanges(
  serviceId: string,
  spec: ServiceSpec,
  { state, now }: { readonly state: ClusterState; readonly now: number },
): readonly Change[] {
  const { vips } = state.networks;
  const ids = spec.endpointMode === EndpointMode.DNSRR ? [] : networkIds(spec, state);
  const held = [...vips.bySecondId(serviceId).values()];
  if (isUpToDate(ids, held)) return [];
  const attached = ids.flatMap((id) => attachedNetwork(id, state) ?? []);
  const { put, expired } = updateVirtualIps(serviceId, { attached, held, now });
  return [...expired.map(deletion), ...put.map((vip): Change => ({ kind: "put-vip", vip }))];
}

/** Returns the changes that release all virtual IPs of a removed service. */
export function virtualIpReleases(serviceId: string, state: ClusterState, now: number): readonly Change[] {
  const held = [...state.networks.vips.bySecondId(serviceId).values()];
  const { put } = updateVirtualIps(serviceId, { attached: [], held, now });
  return put.map((vip) => ({ kind: "put-vip", vip }));
}

function networkIds(spec: ServiceSpec, state: ClusterState): readonly string[] {
  return (spec.task?.networks ?? []).flatMap(({ network }) => state.networks.idOf(network) ?? []);
}

/** Returns whether the virtual IPs match the networks, which is the usual case when a service is reconciled. */
function isUpToDate(ids: readonly string[], held: readonly VirtualIp[]): boolean {
  const inUse = held.filter(({ releasedAtMs }) => releasedAtMs === 0);
  return inUse.length === ids.length && inUse.every(({ networkId }) => ids.includes(networkId));
}

function attachedNetwork(id: string, state: ClusterState): AttachedNetwork | undefined {
  const network = state.networks.get(id);
  if (network?.spec === undefined) return undefined;
  const { name } = network.spec;
  return {
    id,
    subnet: network.subnet,
    vips: [...state.networks.vips.byFirstId(id).values()],
    staticAddresses: staticAddresses(state.services.ofNetwork(name).values(), name),
  };
}

function deletion({ networkId, serviceId }: VirtualIp): Change {
  return { kind: "delete-vip", networkId, serviceId };
}
