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
import { layoutOf } from "../../core/allocator/address-pool.js";
import {
  canJoin,
  encryptionProblem,
  overlapProblem,
  overlayProblem,
} from "../../core/allocator/network-eligibility.js";
import { staticAddressIn } from "../../core/allocator/static-addresses.js";
import { type ChosenAddress, findAddressHolder } from "../../state/address-holder.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { ServiceTarget } from "./decide-deployment.js";
import { type ServiceViolation, violationsError } from "./violations.js";

/** A message names so many hosts and counts the others. */
const MAX_NAMED_HOSTS = 3;

export interface NetworkSetting {
  readonly state: ClusterState;
  /** Networks that the same change makes, by name. */
  readonly made?: ReadonlyMap<string, Network>;
  readonly intro: string;
}

/**
 * Checks that the networks of services are there, that the addresses they choose are free, and that some node can
 * have what they cannot do without; fills in what the control plane knows of these networks.
 * @throws BerthError BERTH_SPEC_INVALID with everything that is wrong
 */
export function resolveNetworks(
  targets: readonly ServiceTarget[],
  setting: NetworkSetting,
): readonly ServiceTarget[] {
  if (targets.every(({ spec }) => attachmentsOf(spec).length === 0)) return targets;
  const settled = targets.map(({ id, spec }) => ({ id, spec: filledIn(spec, setting) }));
  const violations = settled.flatMap((target) => [
    ...missingNetworks(target.spec, setting),
    ...addressProblems(target, settled, setting),
  ]);
  if (violations.length > 0) throw violationsError("BERTH_SPEC_INVALID", setting.intro, violations);
  checkNodes(settled, setting);
  return settled;
}

/** What services lose on hosts that cannot have networks over hosts, for a person. */
export function networkWarnings(targets: readonly ServiceTarget[], state: ClusterState): readonly string[] {
  const isConcerned = targets.some(({ spec }) => attachmentsOf(spec).some(({ optional }) => optional));
  if (!isConcerned) return [];
  const without = [...state.nodes.values()].filter(
    (node) => node.state === NodeState.READY && overlayProblem(node) !== undefined,
  );
  if (without.length === 0) return [];
  const hosts = hostsText(without.map((node) => `${hostOf(node)}: ${overlayProblem(node)}`));
  return [
    `tasks on hosts that cannot have networks over hosts are not found by their services' names (${hosts})`,
  ];
}

function filledIn(spec: ServiceSpec, setting: NetworkSetting): ServiceSpec {
  if (spec.task === undefined || spec.task.networks.length === 0) return spec;
  const networks = spec.task.networks.map((attachment): NetworkAttachment => {
    const network = find(attachment.network, setting);
    const encrypted = network?.spec?.encrypted ?? false;
    const subnet = parseSubnet(network?.subnet ?? "");
    const room = subnet === undefined ? 0 : layoutOf(subnet).addressesPerRange;
    // Nothing that was to be secret goes out of a container that runs without its network.
    return { ...attachment, encrypted, addressesPerHost: room, optional: attachment.optional && !encrypted };
  });
  return { ...spec, task: { ...spec.task, networks } };
}

function find(name: string, { state, made }: NetworkSetting): Network | undefined {
  return made?.get(name) ?? state.networks.byName(name);
}

function missingNetworks(spec: ServiceSpec, setting: NetworkSetting): readonly ServiceViolation[] {
  return attachmentsOf(spec).flatMap(({ network: name }, index) => {
    const network = find(name, setting);
    if (network !== undefined && !network.removing) return [];
    const message =
      network === undefined
        ? `there is no network ${name}: make it with berth network create ${name}`
        : `network ${name} is being removed`;
    return [{ service: spec.name, path: pathOf(index), message }];
  });
}

function addressProblems(
  { id, spec }: ServiceTarget,
  targets: readonly ServiceTarget[],
  setting: NetworkSetting,
): readonly ServiceViolation[] {
  return attachmentsOf(spec).flatMap(({ network: name, ipv4Address }, index) => {
    const network = find(name, setting);
    if (ipv4Address === "" || network === undefined) return [];
    const taken = (other: { readonly id: string; readonly spec: ServiceSpec }): boolean =>
      other.id !== id && staticAddressIn(other.spec, name) === ipv4Address;
    const problem =
      addressProblem(ipv4Address, network, { id, state: setting.state }) ??
      (targets.some(taken) || othersWith(name, targets, setting.state).some(taken)
        ? "another service has chosen it"
        : formerHolder({ serviceId: id, network: name, address: ipv4Address }, setting.state));
    if (problem === undefined) return [];
    return [
      { service: spec.name, path: `${pathOf(index)}.ipv4_address`, message: `${ipv4Address}: ${problem}` },
    ];
  });
}

function othersWith(
  network: string,
  targets: readonly ServiceTarget[],
  state: ClusterState,
): readonly { readonly id: string; readonly spec: ServiceSpec }[] {
  const replaced = new Set(targets.map(({ id }) => id));
  return [...state.services.ofNetwork(network).values()].flatMap(({ id, spec }) =>
    spec === undefined || replaced.has(id) ? [] : [{ id, spec }],
  );
}

/** A task of another service, of whatever version, which has yet to stop. */
function formerHolder(chosen: ChosenAddress, state: ClusterState): string | undefined {
  const task = findAddressHolder(chosen, state);
  if (task === undefined) return undefined;
  const { serviceId, serviceName, slot, specVersion } = task;
  return state.services.get(serviceId)?.version === specVersion
    ? `task ${serviceName}.${slot} has it until ${serviceName} has another one: deploy that first, and this when it is done`
    : `task ${serviceName}.${slot}, which is being replaced, still has it: try again in a moment`;
}

/** Why a task cannot have an address that was chosen for it; undefined when it can. */
function addressProblem(
  text: string,
  network: Network,
  { id, state }: { readonly id: string; readonly state: ClusterState },
): string | undefined {
  const address = parseIpv4(text);
  const subnet = parseSubnet(network.subnet);
  if (address === undefined || subnet === undefined) return "it is no address";
  if (network.spec?.subnet === "") return "the network has no subnet of its own: give it one under ipam";
  if (!subnetHas(subnet, address)) return `it is not in ${network.subnet}`;
  const { virtualIps: vips } = layoutOf(subnet);
  const advice = `choose one from ${ipv4Text(vips.base + 2)} on, in ${subnetText(vips)}`;
  for (const vip of state.networks.vips.ofFirst(network.id).values()) {
    if (vip.address === text)
      return `it stands for ${vip.serviceId === id ? "the service" : "a service"}; ${advice}`;
  }
  for (const { range, nodeId } of state.networks.ranges.ofFirst(network.id).values()) {
    const parsed = parseSubnet(range);
    if (parsed === undefined || !subnetHas(parsed, address)) continue;
    return `node ${hostOf(state.nodes.get(nodeId)) || nodeId} gives out ${range}; ${advice}`;
  }
  return undefined;
}

/** Without any node nothing can be said: tasks wait for one. */
function checkNodes(targets: readonly ServiceTarget[], setting: NetworkSetting): void {
  const { state, intro } = setting;
  const nodes = [...state.nodes.values()];
  if (nodes.length === 0) return;
  const violations = targets.flatMap(({ spec }): readonly ServiceViolation[] => {
    const needed = attachmentsOf(spec).filter(({ optional }) => !optional);
    const subnetOf = ({ network }: NetworkAttachment): Subnet | undefined =>
      parseSubnet(find(network, setting)?.subnet ?? "");
    const lacking = needed.find((attachment) => {
      const subnet = subnetOf(attachment);
      return !nodes.some((node) => canJoin(node, attachment) && overlapProblem(node, subnet) === undefined);
    });
    if (lacking === undefined) return [];
    const problemOf = (node: Node): string | undefined =>
      (lacking.encrypted ? encryptionProblem : overlayProblem)(node) ??
      overlapProblem(node, subnetOf(lacking));
    const hosts = hostsText(nodes.map((node) => `${hostOf(node)}: ${problemOf(node)}`));
    const what = lacking.encrypted ? "encrypted networks" : "networks that span hosts";
    const message = `no node can have ${what}, such as ${lacking.network} (${hosts})`;
    return [{ service: spec.name, path: "task.networks", message }];
  });
  if (violations.length > 0) throw violationsError("BERTH_SPEC_INVALID", intro, violations);
}

function hostsText(hosts: readonly string[]): string {
  const named = hosts.slice(0, MAX_NAMED_HOSTS).join("; ");
  return hosts.length <= MAX_NAMED_HOSTS ? named : `${named}; and ${hosts.length - MAX_NAMED_HOSTS} more`;
}

const hostOf = (
  node: { readonly id: string; readonly description?: { readonly hostname: string } | undefined } | undefined,
): string => node?.description?.hostname || (node?.id ?? "");

const attachmentsOf = (spec: ServiceSpec): readonly NetworkAttachment[] => spec.task?.networks ?? [];

const pathOf = (index: number): string => `task.networks[${index}]`;
