import { type NetworkAttachment, type Node, NodeState, parseSubnet, type ServiceSpec } from "@berth/proto";
import { networkLayout } from "../../core/allocator/address-pool.js";
import {
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

/** Maximum number of nodes that a message names. Further nodes are only counted. */
const MAX_NAMED_NODES = 3;

/**
 * Checks that the networks of services exist, that their static addresses are free, and that at least one node can join
 * all required networks of each service. Fills in the attachment fields that the control plane sets.
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
  const problems = [...state.nodes.values()].flatMap((node) => {
    const problem = node.state === NodeState.READY ? overlayProblem(node) : undefined;
    return problem === undefined ? [] : [`${nodeName(node)}: ${problem}`];
  });
  if (problems.length === 0) return [];
  return [
    `some nodes cannot join networks that span hosts; other tasks cannot reach tasks on these nodes by service name (${formatNodes(problems)})`,
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

/**
 * Checks that at least one node can join all required networks of each service. In a cluster without nodes, tasks wait
 * for one.
 */
function requireEligibleNodes(targets: readonly ServiceTarget[], context: AttachmentContext): void {
  const nodes = [...context.state.nodes.values()];
  if (nodes.length === 0) return;
  const violations = targets.flatMap(({ spec }) => {
    const required = networkAttachments(spec).filter(({ optional }) => !optional);
    const message = eligibilityProblem(required, nodes, context);
    return message === undefined ? [] : [{ service: spec.name, path: "task.networks", message }];
  });
  if (violations.length > 0) throw violationsError("BERTH_SPEC_INVALID", context.errorPrefix, violations);
}

/** Returns why no node can join all of these networks, or undefined if a node can. */
function eligibilityProblem(
  attachments: readonly NetworkAttachment[],
  nodes: readonly Node[],
  context: AttachmentContext,
): string | undefined {
  for (const attachment of attachments) {
    const problems = joinProblems(nodes, [attachment], context);
    if (problems === undefined) continue;
    const kind = attachment.encrypted ? "encrypted network" : "network";
    return `no node can join ${kind} ${attachment.network} (${formatNodes(problems)})`;
  }
  const problems = joinProblems(nodes, attachments, context);
  if (problems === undefined) return undefined;
  const names = attachments.map(({ network }) => network).join(", ");
  return `no node can join all of the networks ${names} (${formatNodes(problems)})`;
}

/** Returns for each node why it cannot join all of these networks, or undefined if a node can. */
function joinProblems(
  nodes: readonly Node[],
  attachments: readonly NetworkAttachment[],
  context: AttachmentContext,
): readonly string[] | undefined {
  const problems: string[] = [];
  for (const node of nodes) {
    const problem = attachments
      .map((attachment) => joinProblem(node, attachment, context))
      .find((found) => found !== undefined);
    if (problem === undefined) return undefined;
    problems.push(`${nodeName(node)}: ${problem}`);
  }
  return problems;
}

function joinProblem(
  node: Node,
  { network, encrypted }: NetworkAttachment,
  context: AttachmentContext,
): string | undefined {
  const subnet = parseSubnet(findNetwork(network, context)?.subnet ?? "");
  return (encrypted ? encryptionProblem : overlayProblem)(node) ?? overlapProblem(node, subnet);
}

function formatNodes(nodes: readonly string[]): string {
  const nodeList = nodes.slice(0, MAX_NAMED_NODES).join("; ");
  return nodes.length <= MAX_NAMED_NODES
    ? nodeList
    : `${nodeList}; and ${nodes.length - MAX_NAMED_NODES} more`;
}
