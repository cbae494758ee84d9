import {
  type DataPlane,
  type NetworkAttachment,
  type Node,
  parseSubnet,
  type Subnet,
  subnetsOverlap,
  subnetText,
} from "@berth/proto";

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

/** Asked for every node that a task could go to; descriptions are never changed, only replaced. */
const parsed = new WeakMap<DataPlane, readonly Subnet[]>();

/** What a node reaches without a gateway: its own address, and the subnets that it is in. */
export function attachedSubnets({ description }: Node): readonly Subnet[] {
  const own = parseSubnet(`${description?.address ?? ""}/32`);
  return [...(own === undefined ? [] : [own]), ...neighbourhoods(description?.dataPlane)];
}

function neighbourhoods(plane: DataPlane | undefined): readonly Subnet[] {
  if (plane === undefined) return [];
  const known = parsed.get(plane);
  if (known !== undefined) return known;
  const subnets = plane.subnets.flatMap((text) => parseSubnet(text) ?? []);
  parsed.set(plane, subnets);
  return subnets;
}

/** Why a node cannot have a network of this subnet, for a person; undefined when it can. */
export function overlapProblem({ description }: Node, subnet: Subnet | undefined): string | undefined {
  if (subnet === undefined) return undefined;
  const block = neighbourhoods(description?.dataPlane).find((its) => subnetsOverlap(its, subnet));
  return block && `${subnetText(block)}, which it is in, overlaps ${subnetText(subnet)}`;
}
