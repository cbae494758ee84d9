import { type Node, NodeState, type UnknownTask } from "@berth/proto";

/** A container on a node whose task is not in the records. */
export interface NodeUnknownTask {
  readonly node: Node;
  readonly task: UnknownTask;
}

/** The nodes and containers that a restore from a backup waits for. */
export interface RestoreProgress {
  /** Nodes that were ready at the time of the backup, and have not reported yet. */
  readonly missing: readonly Node[];
  /** Running containers that were created after the backup. */
  readonly unknown: readonly NodeUnknownTask[];
}

/**
 * Returns the nodes and containers that a restore waits for. Once there are none, the records describe all running
 * containers, and the restore is complete.
 *
 * @param reports the unknown tasks of each node that has reported them
 */
export function restoreProgress(
  nodes: Iterable<Node>,
  reports: ReadonlyMap<string, readonly UnknownTask[]>,
): RestoreProgress {
  const missing: Node[] = [];
  const unknown: NodeUnknownTask[] = [];
  for (const node of nodes) {
    const report = reports.get(node.id);
    for (const task of report ?? []) unknown.push({ node, task });
    if (report === undefined && node.state === NodeState.READY) missing.push(node);
  }
  return { missing, unknown };
}

export function isComplete({ missing, unknown }: RestoreProgress): boolean {
  return missing.length === 0 && unknown.length === 0;
}
