import { ipv4Text, type Network, parseIpv4, parseSubnet, subnetHas, subnetText } from "@berth/proto";
import { networkLayout } from "../../core/allocator/address-pool.js";
import { staticAddressIn } from "../../core/allocator/static-addresses.js";
import { nodeNameById } from "../../core/model/node-name.js";
import { findAddressHolder, type StaticAddress } from "../../state/address-holder.js";
import type { ClusterState } from "../../state/cluster-state.js";
import {
  type AttachmentContext,
  attachmentPath,
  findNetwork,
  networkAttachments,
} from "./attachment-context.js";
import type { ServiceTarget } from "./decide-deployment.js";
import type { ServiceViolation } from "./violations.js";

/** Returns a violation for every static address that cannot be assigned to its service. */
export function addressViolations(
  { id, spec }: ServiceTarget,
  targets: readonly ServiceTarget[],
  context: AttachmentContext,
): readonly ServiceViolation[] {
  return networkAttachments(spec).flatMap(({ network: name, ipv4Address }, index) => {
    const network = findNetwork(name, context);
    if (ipv4Address === "" || network === undefined) return [];
    const hasSameAddress = (other: ServiceTarget): boolean =>
      other.id !== id && staticAddressIn(other.spec, name) === ipv4Address;
    const others = [...targets, ...otherServicesIn(name, targets, context.state)];
    const problem =
      addressProblem(ipv4Address, network, { id, state: context.state }) ??
      (others.some(hasSameAddress) ? "another service has this static address" : undefined) ??
      describeHolder({ serviceId: id, network: name, address: ipv4Address }, context.state);
    if (problem === undefined) return [];
    return [
      {
        service: spec.name,
        path: `${attachmentPath(index)}.ipv4_address`,
        message: `${ipv4Address}: ${problem}`,
      },
    ];
  });
}

/** Returns the services in a network that are not part of the request. */
function otherServicesIn(
  network: string,
  targets: readonly ServiceTarget[],
  state: ClusterState,
): readonly ServiceTarget[] {
  const replaced = new Set(targets.map(({ id }) => id));
  return [...state.services.ofNetwork(network).values()].flatMap(({ id, spec }) =>
    spec === undefined || replaced.has(id) ? [] : [{ id, spec }],
  );
}

/** Returns a message if a task of another service, of any version, still uses the address. */
function describeHolder(chosen: StaticAddress, state: ClusterState): string | undefined {
  const task = findAddressHolder(chosen, state);
  if (task === undefined) return undefined;
  const { serviceId, serviceName, slot, specVersion } = task;
  return state.services.get(serviceId)?.version === specVersion
    ? `task ${serviceName}.${slot} has this address; deploy ${serviceName} with another address first`
    : `task ${serviceName}.${slot}, which is being replaced, still has this address; try again in a moment`;
}

/** Returns why a service cannot have a static address, or undefined if the address is valid. */
function addressProblem(
  text: string,
  network: Network,
  { id, state }: { readonly id: string; readonly state: ClusterState },
): string | undefined {
  const address = parseIpv4(text);
  const subnet = parseSubnet(network.subnet);
  if (address === undefined || subnet === undefined) return "not an IPv4 address";
  if (network.spec?.subnet === "") return "the network has no fixed subnet; configure one under ipam";
  if (!subnetHas(subnet, address)) return `not in the network's subnet ${network.subnet}`;
  const { virtualIps } = networkLayout(subnet);
  const advice = `choose an address from ${ipv4Text(virtualIps.base + 2)} on, in ${subnetText(virtualIps)}`;
  for (const vip of state.networks.vips.ofNetwork(network.id).values()) {
    if (vip.address !== text) continue;
    return `it is the virtual IP of ${vip.serviceId === id ? "this service" : "another service"}; ${advice}`;
  }
  for (const { range, nodeId } of state.networks.ranges.ofNetwork(network.id).values()) {
    const parsed = parseSubnet(range);
    if (parsed === undefined || !subnetHas(parsed, address)) continue;
    return `it is in the range ${range} of node ${nodeNameById(nodeId, state.nodes)}; ${advice}`;
  }
  return undefined;
}
