import { type Node, type NodeDescription, NodeState } from "@berth/proto";

/**
 * Returns the properties that must be unique among live nodes: the address and the WireGuard key. Other hosts send
 * packets to the address, and WireGuard has one peer per key.
 */
export function nodeClaims(description: NodeDescription | undefined): readonly string[] {
  const { address = "", dataPlane } = description ?? {};
  const key = dataPlane?.wireguardPublicKey ?? "";
  return [...(address === "" ? [] : [`address ${address}`]), ...(key === "" ? [] : [`WireGuard key ${key}`])];
}

/** Returns whether a node's agent is connected or was until recently, according to its record. */
export function isNodeLive({ state, agentUnreachable }: Node): boolean {
  return state === NodeState.READY && !agentUnreachable;
}

/** The nodes with their claims, as `NodeTable` has them. */
export interface NodeClaims {
  /** Returns the nodes that have the address or the key. */
  holdersOf(claim: string): ReadonlyMap<string, Node>;
}

/** A node that registers with a description. */
export interface ClaimingNode {
  readonly nodeId: string;
  /** The node's record. Undefined for a node that registers for the first time. */
  readonly known: Node | undefined;
  readonly description: NodeDescription;
}

/**
 * Returns the first address or key of a new description that another live node has, and that node. A node never
 * conflicts over an address or key in its own record, so a node that took it while the host was unreachable does not
 * lock it out.
 */
export function findClaimConflict(
  { nodeId, known, description }: ClaimingNode,
  nodes: NodeClaims,
  isSuspect: (nodeId: string) => boolean,
): { readonly claim: string; readonly holder: Node } | undefined {
  const ownClaims = new Set(nodeClaims(known?.description));
  for (const claim of nodeClaims(description)) {
    if (ownClaims.has(claim)) continue;
    for (const holder of nodes.holdersOf(claim).values()) {
      if (holder.id !== nodeId && isNodeLive(holder) && !isSuspect(holder.id)) return { claim, holder };
    }
  }
  return undefined;
}
