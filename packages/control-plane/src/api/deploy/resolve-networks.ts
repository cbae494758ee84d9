import {
  type NetworkAttachment,
  type Node,
  NodeState,
  parseSubnet,
  type ServiceSpec,
  type Subnet,
} from "@berth/proto";
import { networkLayout } from "../../core/allocator/address-pool.js";
import {
  canJoin,
  encryptionProblem,
  overlapProblem,
  overlayProblem,
} from "../../core/allocator/network-eligibility.js";
import { nodeName } from "../../core/model/node-name.js";
import type { ClusterState } from "../../state/cluster-state.js";
import {
  type AttachmentContext,
  attachmentPath,
  findNetwork,
  networkAttachments,
} from "./attachment-context.js";
import type { ServiceTarget } from "./decide-deployment.js";
import { addressViolations } from "./static-address-violations.js";
import { type ServiceViolation, violationsError } from "./violations.js";

/** Maximum number of hosts that a message names. Further hosts are only counted. */
const MAX_NAMED_HOSTS = 3;

/**
 * Checks that the networks of services exist, that their static addresses are free, and that at least one node can join
 * every required network. Fills in the attachment fields that the control plane sets.
 *
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
  if (violations.length > 0) throw violationsError("BERTH_SPEC_INVALID", context.errorPrefix, violations);
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
  const hosts = formatHosts(unable.map((node) => `${nodeName(node)}: ${overlayProblem(node)}`));
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
    // An encrypted network is never optional: without it, the task would send its traffic in plaintext.
    return { ...attachment, encrypted, addressesPerHost, optional: attachment.optional && !encrypted };
  });
  return { ...spec, task: { ...spec.task, networks } };
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

/** Checks that at least one node can join each required network. In a cluster without nodes, tasks wait for one. */
function requireEligibleNodes(targets: readonly ServiceTarget[], context: AttachmentContext): void {
  const { state, errorPrefix } = context;
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
    const hosts = formatHosts(nodes.map((node) => `${nodeName(node)}: ${problemOf(node)}`));
    const kind = impossible.encrypted ? "encrypted network" : "network";
    const message = `no node can join ${kind} ${impossible.network} (${hosts})`;
    return [{ service: spec.name, path: "task.networks", message }];
  });
  if (violations.length > 0) throw violationsError("BERTH_SPEC_INVALID", errorPrefix, violations);
}

function formatHosts(hosts: readonly string[]): string {
  const hostList = hosts.slice(0, MAX_NAMED_HOSTS).join("; ");
  return hosts.length <= MAX_NAMED_HOSTS
    ? hostList
    : `${hostList}; and ${hosts.length - MAX_NAMED_HOSTS} more`;
}
