import { type NetworkAttachment, type Subnet, subnetText } from "@berth/proto";
import { overlapProblem } from "../allocator/node-blocks.js";
import { canJoin, encryptionProblem, overlayProblem } from "../allocator/take-part.js";
import type { ClusterView } from "../model.js";
import { nodesText } from "../words.js";
import type { Filter, NodeFilter } from "./filters.js";

/** Tasks go where all of the networks can be that they need: a container without one of them would not be reached. */
export function networkFilters(joined: readonly NetworkAttachment[]): readonly NodeFilter[] {
  const networks = joined.filter(({ optional }) => !optional);
  if (networks.length === 0) return [];
  const overlay: NodeFilter = {
    name: "network",
    passes: ({ node }) => overlayProblem(node) === undefined,
    explain: (count) =>
      `${nodesText(count, { one: "cannot", many: "cannot" })} have networks that span hosts (berth node inspect says why)`,
  };
  if (!networks.some(({ encrypted }) => encrypted)) return [overlay];
  const encryption: NodeFilter = {
    name: "encrypted-network",
    passes: ({ node }) => encryptionProblem(node) === undefined,
    explain: (count) =>
      `${nodesText(count, { one: "cannot", many: "cannot" })} encrypt networks (berth node inspect says why)`,
  };
  return [overlay, encryption];
}

/** A host gives out only so many addresses in each network. One that has no part of it gives out none, and lacks none. */
export function addressFilters(joined: readonly NetworkAttachment[]): readonly Filter[] {
  return joined.flatMap((attachment): readonly Filter[] => {
    const { network, addressesPerHost: room } = attachment;
    if (room === 0) return [];
    return [
      {
        name: "network-room",
        capacity: ({ node, reserved }) =>
          canJoin(node, attachment)
            ? Math.max(0, room - (reserved.networks.get(network) ?? 0))
            : Number.POSITIVE_INFINITY,
        explain: (count) =>
          `${nodesText(count, { one: "has", many: "have" })} no address left in network ${network} (${room} each)`,
      },
    ];
  });
}

/** A network has parts for only so many hosts. What can do without it is not kept from a host that has none. */
export function partFilters(joined: readonly NetworkAttachment[], { parts }: ClusterView): readonly Filter[] {
  if (parts === undefined) return [];
  return joined.flatMap(({ network, optional }): readonly Filter[] => {
    if (optional) return [];
    return [
      {
        name: "network-part",
        capacity: ({ node }) => (parts.hasPartFor(node.id, network) ? Number.POSITIVE_INFINITY : 0),
        explain: (count) =>
          `${nodesText(count, { one: "has", many: "have" })} no part of network ${network}, whose parts are all taken: give it a larger subnet`,
      },
      ...overlapFilters(network, parts.subnetOf(network)),
    ];
  });
}

/** A host that is in a subnet which overlaps the network's would look for its neighbours among containers. */
function overlapFilters(network: string, subnet: Subnet | undefined): readonly Filter[] {
  if (subnet === undefined) return [];
  return [
    {
      name: "network-overlap",
      capacity: ({ node }) => (overlapProblem(node, subnet) === undefined ? Number.POSITIVE_INFINITY : 0),
      explain: (count) =>
        `${nodesText(count, { one: "is", many: "are" })} in subnets that overlap network ${network} (${subnetText(subnet)}): give it another subnet`,
    },
  ];
}
