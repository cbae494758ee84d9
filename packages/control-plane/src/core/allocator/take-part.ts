import type { NetworkAttachment, Node } from "@berth/proto";

/** Why a node cannot have a network over hosts, for a person; undefined when it can. */
export function overlayProblem({ description }: Node): string | undefined {
  const plane = description?.dataPlane;
  if (plane === undefined) return "its agent is of a release without them";
  return plane.overlay ? undefined : plane.overlayReason || "it cannot";
}

/** Why a node cannot have an encrypted network, for a person; undefined when it can. */
export function encryptionProblem(node: Node): string | undefined {
  const plane = node.description?.dataPlane;
  if (plane === undefined || !plane.overlay) return overlayProblem(node);
  return plane.wireguardPublicKey === "" ? plane.wireguardReason || "it has no WireGuard key" : undefined;
}

/** Whether a node takes part in a network of a service: with what others need of it. */
export function canJoin(node: Node, { encrypted }: Pick<NetworkAttachment, "encrypted">): boolean {
  return (encrypted ? encryptionProblem(node) : overlayProblem(node)) === undefined;
}
