import type { Node } from "@berth/proto";
import type { NodeView } from "./model.js";
import { attributeOf } from "./node-attribute.js";
import { countInto, emptyGroup, type Group } from "./spread-tree.js";

/** The group that a node is in at each level of a spread: nodes without the label are one group of their own. */
export const spreadGroup = (node: Node | undefined, attribute: string | undefined): string =>
  node === undefined || attribute === undefined ? "" : (attributeOf(node, attribute) ?? "");

/** How the tasks of a service, counted by node, are spread; those on nodes that take no more count as well. */
export function countGroups(
  countByNode: ReadonlyMap<string, number>,
  nodes: ReadonlyMap<string, NodeView>,
  attributes: readonly string[],
): Group {
  const groups = emptyGroup();
  if (attributes.length === 0) return groups;
  for (const [nodeId, count] of countByNode) {
    const node = nodes.get(nodeId)?.node;
    const path = attributes.map((attribute) => spreadGroup(node, attribute));
    countInto(groups, path, count);
  }
  return groups;
}
