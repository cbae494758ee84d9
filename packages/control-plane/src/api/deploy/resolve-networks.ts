import {
  ipv4Text,
  type Network,
  type NetworkAttachment,
  type Node,
  NodeState,
  parseIpv4,
  parseSubnet,
  type ServiceSpec,
  type Subnet,
  subnetHas,
  subnetText,
} from "@berth/proto";
import { networkLayout } from "../../core/allocator/address-pool.js";
import {
  canJoin,
  encryptionProblem,
  overlapProblem,
  overlayProblem,
} from "../../core/allocator/network-eligibility.js";
import { staticAddressIn } from "../../core/allocator/static-addresses.js";
import { findAddressHolder, type StaticAddress } from "../../state/address-holder.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { ServiceTarget } from "./decide-deployment.js";
import { type ServiceViolation, violationsError } from "./violations.js";

/** Limit of hosts that a message names. It only counts the others. */
const MAX_NAMED_HOSTS = 3;

export interface AttachmentContext {
  readonly state: ClusterState;
  /** Networks that the same change creates or updates, by name. */
  readonly newNetworks?: ReadonlyMap<string, Network>;
  /** What failed, for the error message. */
  readonly intro: string;
}

/**
 * Checks that the networks of services exist, that the static addresses in them are free, and that some node can join
 * every network that is not optional. Fills in the attachment fields that the control plane sets.
 * @throws BerthError BERTH_SPEC_INVALID with every violation
 */
export function resolveNetworks(
  targets: readonly ServiceTarget[],
  context: AttachmentContext,
): readonly ServiceTarget[] {
  if (targets.every(({ spec }) => networkAttachments(spec).length === 0)) return targets;
  const resolved = targets.map(({ id, spec }) => ({ id, spec: withNetworkFields(spec, context) }));
  const violations = resolved.flatMap((target) => [
    ...missingNetworkViolations(target.spec, context),
    ...addressViolations(target, resolved, context),
  ]);
  if (violations.length > 0) throw violationsError("BERTH_SPEC_INVALID", context.intro, violations);
  requireEligibleNodes(resolved, context);
  return resolved;
}

/** Returns warnings about nodes that cannot join the optional networks of these services. */
export function networkWarnings(targets: readonly ServiceTarget[], state: ClusterState): readonly string[] {
  const hasOptional = targets.some(({ spec }) => networkAttachments(spec).some(({ optional }) => optional));
  if (!hasOptional) return [];
  const unable = [...state.nodes.values()].filter(
    (node) => node.state === NodeState.READY && overlayProblem(node) !== undefined,
  );
  if (unable.length === 0) return [];
  const hosts = formatHosts(unable.map((node) => `${hostnameOf(node)}: ${overlayProblem(node)}`));
  return [
    `some nodes cannot join networks that span hosts; tasks there cannot be reached by their service's name (${hosts})`,
  ];
}

function withNetworkFields(spec: ServiceSpec, context: AttachmentContext): ServiceSpec {
  if (spec.task === undefined || spec.task.networks.length === 0) return spec;
  const networks = spec.task.networks.map((attachment): NetworkAttachment => {
    const network = findNetwork(attachment.network, context);
    const encrypted = network?.spec?.encrypted ?? false;
    const subnet = parseSubnet(network?.subnet ?? "");
    const addressesPerHost = subnet === undefined ? 0 : networkLayout(subnet).addressesPerRange;
    // An encrypted network is never optional: without it, the task would send its traffic in the clear.
    return { ...attachment, encrypted, addressesPerHost, optional: attachment.optional && !encrypted };
  });
  return { ...spec, task: { ...spec.task, networks } };
}

function findNetwork(name: string, { state, newNetworks }: AttachmentContext): Network | undefined {
  return newNetworks?.get(name) ?? state.networks.byName(name);
}

function missingNetworkViolations(
  spec: ServiceSpec,
  context: AttachmentContext,
): readonly ServiceViolation[] {
  return networkAttachments(spec).flatMap(({ network: name }, index) => {
    const network = findNetwork(name, context);
    if (network !== undefined && !network.removing) return [];
    const message =
      network === undefined
        ? `no such network: ${name}; create it with berth network create ${name}`
        : `network ${name} is being removed`;
    return [{ service: spec.name, path: attachmentPath(index), message }];
  });
}

function addressViolations(
  { id, spec }: ServiceTarget,
  targets: readonly ServiceTarget[],
  context: AttachmentContext,
): readonly ServiceViolation[] {
  return networkAttachments(spec).flatMap(({ network: name, ipv4Address }, index) => {
    const network = findNetwork(name, context);
    if (ipv4Address === "" || network === undefined) return [];
    const hasSameAddress = (other: ServiceTarget): boolean =>
      other.id !== id && staticAddressIn(other.spec, name) === ipv4Address;
    const problem =
      addressProblem(ipv4Address, network, { id, state: context.state }) ??
      (targets.some(hasSameAddress) || otherServicesIn(name, targets, context.state).some(hasSameAddress)
        ? "another service has this static address"
        : currentHolder({ serviceId: id, network: name, address: ipv4Address }, context.state));
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

/** Returns a message when a task of another service, of any version, still has the address. */
function currentHolder(chosen: StaticAddress, state: ClusterState): string | undefined {
  const task = findAddressHolder(chosen, state);
  if (task === undefined) return undefined;
  const { serviceId, serviceName, slot, specVersion } = task;
  return state.services.get(serviceId)?.version === specVersion
    ? `task ${serviceName}.${slot} has this address: give ${serviceName} another one in a deployment of its own first`
    : `task ${serviceName}.${slot}, which is being replaced, still has this address: try again in a moment`;
}

/** Returns why a service cannot have a static address. Undefined when the address is valid. */
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
    return `it is in the range ${range} of node ${hostnameOf(state.nodes.get(nodeId)) || nodeId}; ${advice}`;
  }
  return undefined;
}

/** Checks that at least one node can join each required network. In a cluster without nodes, tasks wait for one. */
function requireEligibleNodes(targets: readonly ServiceTarget[], context: AttachmentContext): void {
  const { state, intro } = context;
  const nodes = [...state.nodes.values()];
  if (nodes.length === 0) return;
  const violations = targets.flatMap(({ spec }): readonly ServiceViolation[] => {
    const required = networkAttachments(spec).filter(({ optional }) => !optional);
    const subnetOf = ({ network }: NetworkAttachment): Subnet | undefined =>
      parseSubnet(findNetwork(network, context)?.subnet ?? "");
    const impossible = required.find((attachment) => {
      const subnet = subnetOf(attachment);
      return !nodes.some((node) => canJoin(node, attachment) && overlapProblem(node, subnet) === undefined);
    });
    if (impossible === undefined) return [];
    const problemOf = (node: Node): string | undefined =>
      (impossible.encrypted ? encryptionProblem : overlayProblem)(node) ??
      overlapProblem(node, subnetOf(impossible));
    const hosts = formatHosts(nodes.map((node) => `${hostnameOf(node)}: ${problemOf(node)}`));
    const kind = impossible.encrypted ? "encrypted network" : "network";
    const message = `no node can join ${kind} ${impossible.network} (${hosts})`;
    return [{ service: spec.name, path: "task.networks", message }];
  });
  if (violations.length > 0) throw violationsError("BERTH_SPEC_INVALID", intro, violations);
}

function formatHosts(hosts: readonly string[]): string {
  const named = hosts.slice(0, MAX_NAMED_HOSTS).join("; ");
  return hosts.length <= MAX_NAMED_HOSTS ? named : `${named}; and ${hosts.length - MAX_NAMED_HOSTS} more`;
}

const hostnameOf = (
  node: { readonly id: string; readonly description?: { readonly hostname: string } | undefined } | undefined,
): string => node?.description?.hostname || (node?.id ?? "");

const networkAttachments = (spec: ServiceSpec): readonly NetworkAttachment[] => spec.task?.networks ?? [];

const attachmentPath = (index: number): string => `task.networks[${index}]`;
