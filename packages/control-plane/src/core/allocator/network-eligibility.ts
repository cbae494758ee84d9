import {
  type DataPlane,
  type NetworkAttachment,
  type Node,
  parseSubnet,
  type Subnet,
  subnetsOverlap,
  subnetText,
} from "@berth/proto";

/** Returns why a node cannot have networks that span hosts, for the user, or undefined if it can. */
export function overlayProblem({ description }: Node): string | undefined {
  const dataPlane = description?.dataPlane;
  if (dataPlane === undefined) return "its agent runs a release that does not support them";
  return dataPlane.overlay ? undefined : dataPlane.overlayReason || "its agent gives no reason";
}

/** Returns why a node cannot have encrypted networks, for the user, or undefined if it can. */
export function encryptionProblem(node: Node): string | undefined {
  const dataPlane = node.description?.dataPlane;
  if (dataPlane === undefined || !dataPlane.overlay) return overlayProblem(node);
  if (dataPlane.wireguardPublicKey !== "") return undefined;
  return dataPlane.wireguardReason || "it has no WireGuard key";
}

/** Returns whether a node meets the requirements of a network. */
export function canJoin(node: Node, { encrypted }: Pick<NetworkAttachment, "encrypted">): boolean {
  return (encrypted ? encryptionProblem(node) : overlayProblem(node)) === undefined;
}

/** Returns why a node cannot have a network with this subnet, for the user, or undefined if it can. */
export function overlapProblem({ description }: Node, subnet: Subnet | undefined): string | undefined {
  if (subnet === undefined) return undefined;
  const attached = localSubnets(description?.dataPlane).find((local) => subnetsOverlap(local, subnet));
  return attached && `it is attached to ${subnetText(attached)}, which overlaps ${subnetText(subnet)}`;
}

/** Returns the addresses that a node reaches without a gateway: its own address and its attached subnets. */
export function attachedSubnets({ description }: Node): readonly Subnet[] {
  const ownAddress = parseSubnet(`${description?.address ?? ""}/32`);
  return [...(ownAddress === undefined ? [] : [ownAddress]), ...localSubnets(description?.dataPlane)];
}

/** Cache of parsed subnets. Placement needs them for every candidate, and records are immutable. */
const parsedSubnets = new WeakMap<DataPlane, readonly Subnet[]>();

function localSubnets(dataPlane: DataPlane | undefined): readonly Subnet[] {
  if (dataPlane === undefined) return [];
  const cached = parsedSubnets.get(dataPlane);
  if (cached !== undefined) return cached;
  const subnets = dataPlane.subnets.flatMap((text) => parseSubnet(text) ?? []);
  parsedSubnets.set(dataPlane, subnets);
  return subnets;
}
