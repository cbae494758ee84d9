import { Availability, type Node, NodeState } from "@berth/proto";
import type { ClusterSnapshot } from "../model/snapshot.js";
import { nodesText } from "../model/text.js";
import { type Filter, passFilter } from "./filter.js";

/** Maximum number of nodes that a reason names. Further nodes are only counted. */
const MAX_NAMED_NODES = 3;

/** Keeps tasks on the nodes that have their volumes, even if these nodes are down. Skips volumes that no node has. */
export function volumeFilters(volumes: readonly string[], cluster: ClusterSnapshot): readonly Filter[] {
  return volumes.flatMap((volume) => {
    const owners = nodesWithVolume(volume, cluster);
    return owners.length === 0 ? [] : [volumeFilter(volume, owners)];
  });
}

function nodesWithVolume(volume: string, { nodes }: ClusterSnapshot): readonly Node[] {
  const owners: Node[] = [];
  for (const { node } of nodes.values()) {
    if (node.description?.volumes.includes(volume)) owners.push(node);
  }
  return owners.sort((a, b) => (a.id < b.id ? -1 : 1));
}

function volumeFilter(volume: string, owners: readonly Node[]): Filter {
  const ids = new Set(owners.map(({ id }) => id));
  return passFilter({
    name: "volume",
    passes: ({ node }) => ids.has(node.id),
    explain: (count) =>
      `${nodesText(count, { one: "does", many: "do" })} not have volume ${volume}, which is on ${nodeList(owners)}`,
  });
}

function nodeList(nodes: readonly Node[]): string {
  const listedNodes = nodes.slice(0, MAX_NAMED_NODES).map(nodeText);
  const omittedCount = nodes.length - listedNodes.length;
  return omittedCount === 0
    ? listedNodes.join(" and ")
    : `${listedNodes.join(", ")} and ${omittedCount} more`;
}

function nodeText(node: Node): string {
  const name = node.description?.hostname || node.id;
  if (node.state !== NodeState.READY) return `${name} (down)`;
  if (node.availability === Availability.DRAIN) return `${name} (drained)`;
  return node.availability === Availability.PAUSE ? `${name} (paused)` : name;
}
