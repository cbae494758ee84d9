import type { Node } from "@berth/proto";

/** Returns the name under which users see a node: its hostname, or its ID while no hostname is known. */
export function nodeName({ id, description }: Pick<Node, "id" | "description">): string {
  return description?.hostname || id;
}

/** Returns the name under which users see the node with this ID. */
export function nodeNameById(
  nodeId: string,
  nodes: { get(nodeId: string): Pick<Node, "id" | "description"> | undefined },
): string {
  const node = nodes.get(nodeId);
  return node === undefined ? nodeId : nodeName(node);
}
