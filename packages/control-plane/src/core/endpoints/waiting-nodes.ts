import { type Node, NodeState } from "@berth/proto";

/**
 * Ids of the nodes whose word counts before a task is stopped: those that may send it connections and can be expected
 * to answer. A node that joins is one of them from the start, since its tables are of another time.
 */
export function nodesToAwait(
  nodes: Iterable<Node>,
  isSuspect: (nodeId: string) => boolean,
): readonly string[] {
  const ids: string[] = [];
  for (const { id, state, agentUnreachable } of nodes) {
    if (state === NodeState.READY && !agentUnreachable && !isSuspect(id)) ids.push(id);
  }
  return ids;
}
