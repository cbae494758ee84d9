import { type NetworkAttachment, type Subnet, subnetText } from "@berth/proto";
import {
  canJoin,
  encryptionProblem,
  overlapProblem,
  overlayProblem,
} from "../allocator/network-eligibility.js";
import type { ClusterSnapshot } from "../model/snapshot.js";
import { nodesText } from "../model/text.js";
import { type Filter, passFilter } from "./filter.js";

/** Excludes nodes that cannot join a required network. */
export function networkFilters(attachments: readonly NetworkAttachment[]): readonly Filter[] {
  const required = attachments.filter(({ optional }) => !optional);
  if (required.length === 0) return [];
  const overlay = passFilter({
    name: "network",
    passes: ({ node }) => overlayProblem(node) === undefined,
    explain: (count) =>
      `${nodesText(count, { one: "cannot", many: "cannot" })} have networks that span hosts (berth node inspect says why)`,
  });
  if (!required.some(({ encrypted }) => encrypted)) return [overlay];
  const encryption = passFilter({
    name: "encrypted-network",
    passes: ({ node }) => encryptionProblem(node) === undefined,
    explain: (count) =>
      `${nodesText(count, { one: "cannot", many: "cannot" })} encrypt networks (berth node inspect says why)`,
  });
  return [overlay, encryption];
}

/** Excludes nodes without a free address in a network. A node that cannot join the network needs none. */
export function addressFilters(attachment: NetworkAttachment): readonly Filter[] {
  const { network, addressesPerHost } = attachment;
  if (addressesPerHost === 0) return [];
  return [
    {
      name: "network-addresses",
      capacity: ({ node, reserved }) =>
        canJoin(node, attachment)
          ? Math.max(0, addressesPerHost - (reserved.networks.get(network) ?? 0))
          : Number.POSITIVE_INFINITY,
      explain: (count) =>
        `${nodesText(count, { one: "has", many: "have" })} no address left in network ${network} (${addressesPerHost} each)`,
    },
  ];
}

/** Excludes nodes for which a required network has no address range left. */
export function rangeFilters(
  { network, optional }: NetworkAttachment,
  { networkRanges }: ClusterSnapshot,
): readonly Filter[] {
  if (optional) return [];
  const range = passFilter({
    name: "network-ranges",
    passes: ({ node }) => networkRanges.hasRangeFor(node.id, network),
    explain: (count) =>
      `${nodesText(count, { one: "has", many: "have" })} no range of network ${network}, and all of its ranges are taken; give it a larger subnet`,
  });
  return [range, ...overlapFilters(network, networkRanges.subnetOf(network))];
}

/** Excludes nodes that are attached to an overlapping subnet. They would look for their neighbors among containers. */
function overlapFilters(network: string, subnet: Subnet | undefined): readonly Filter[] {
  if (subnet === undefined) return [];
  const overlap = passFilter({
    name: "network-overlap",
    passes: ({ node }) => overlapProblem(node, subnet) === undefined,
    explain: (count) =>
      `${nodesText(count, { one: "is", many: "are" })} in subnets that overlap network ${network} (${subnetText(subnet)}); give it another subnet`,
  });
  return [overlap];
}
