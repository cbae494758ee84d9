import type { Node } from "@berth/proto";
import type { NodeSnapshot } from "../model/snapshot.js";
import type { NodeCounts } from "../model/task-index.js";
import { getAttribute } from "./node-attribute.js";

/** Task counts of a group of nodes and of each subgroup, for one service. Each take updates them. */
export interface Group {
  count: number;
  readonly subgroups: Map<string, Group>;
}

export function emptyGroup(): Group {
  return { count: 0, subgroups: new Map() };
}

/** Adds tasks to a group and to its subgroups along the path. */
export function addToGroup(group: Group, path: readonly string[], count: number): void {
  group.count += count;
  let current = group;
  for (const value of path) {
    current = getOrCreateSubgroup(current, value);
    current.count += count;
  }
}

/** Returns the counts of the subgroups along the path, first level first. */
function countsByLevel(group: Group, path: readonly string[]): readonly number[] {
  let current: Group | undefined = group;
  return path.map((value) => {
    current = current?.subgroups.get(value);
    return current?.count ?? 0;
  });
}

/** Returns the subgroup with a value of the next attribute. Adds an empty one when it is missing. */
export function getOrCreateSubgroup(group: Group, value: string): Group {
  const existing = group.subgroups.get(value);
  if (existing !== undefined) return existing;
  const subgroup = emptyGroup();
  group.subgroups.set(value, subgroup);
  return subgroup;
}

/** Returns the node's values of the spread attributes, first level first. Nodes without a label share the value "". */
export function spreadPath(node: Node | undefined, attributes: readonly string[]): readonly string[] {
  return attributes.map((attribute) => (node === undefined ? "" : (getAttribute(node, attribute) ?? "")));
}

/** Counts the tasks of a service by group. Includes tasks on nodes that no longer accept tasks. */
export function countTasksByGroup(
  countByNode: NodeCounts,
  pathOf: (nodeId: string) => readonly string[],
): Group {
  const groups = emptyGroup();
  for (const [nodeId, count] of countByNode) addToGroup(groups, pathOf(nodeId), count);
  return groups;
}

/** Returns a function that counts the tasks in a node's group at each level, and last on the node itself. */
export function spreadCounts(
  countByNode: NodeCounts,
  nodes: ReadonlyMap<string, NodeSnapshot>,
  attributes: readonly string[],
): (nodeId: string) => readonly number[] {
  const pathOf = (nodeId: string): readonly string[] => spreadPath(nodes.get(nodeId)?.node, attributes);
  const groups = attributes.length === 0 ? emptyGroup() : countTasksByGroup(countByNode, pathOf);
  return (nodeId) => [...countsByLevel(groups, pathOf(nodeId)), countByNode.get(nodeId) ?? 0];
}
