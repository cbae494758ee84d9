import type { Node } from "@berth/proto";
import type { NodeView } from "../model.js";
import { attributeOf } from "./node-attribute.js";
import type { NodeCounts } from "./node-counts.js";
import { countInto, countsAlong, emptyGroup, type Group } from "./spread-tree.js";

/** The group that a node is in at each level of a spread: nodes without the label are one group of their own. */
export const spreadGroup = (node: Node | undefined, attribute: string | undefined): string =>
  node === undefined || attribute === undefined ? "" : (attributeOf(node, attribute) ?? "");

/** Its groups at all levels, the first level first. */
export const spreadPath = (node: Node | undefined, attributes: readonly string[]): readonly string[] =>
  attributes.map((attribute) => spreadGroup(node, attribute));

/** How the tasks of a service, counted by node, are spread; those on nodes that take no more count as well. */
export function countGroups(countByNode: NodeCounts, pathOf: (nodeId: string) => readonly string[]): Group {
  const groups = emptyGroup();
  for (const [nodeId, count] of countByNode) countInto(groups, pathOf(nodeId), count);
  return groups;
}

/** For a node: the tasks of its group at each level, and those of the node itself. */
export function spreadCounts(
  countByNode: NodeCounts,
  nodes: ReadonlyMap<string, NodeView>,
  attributes: readonly string[],
): (nodeId: string) => readonly number[] {
  const pathOf = (nodeId: string): readonly string[] => spreadPath(nodes.get(nodeId)?.node, attributes);
  const groups = attributes.length === 0 ? emptyGroup() : countGroups(countByNode, pathOf);
  return (nodeId) => [...countsAlong(groups, pathOf(nodeId)), countByNode.get(nodeId) ?? 0];
}
