import type { Network, NetworkSpec, Node } from "@berth/proto";
import { canJoin } from "./network-eligibility.js";

/** What WireGuard takes of each packet, and the longer headers inside it. */
const WIREGUARD_OVERHEAD_BYTES = 80;

/**
 * Bytes that a packet of a new network may have: what its spec says, or what all nodes can take that can be in it;
 * 0 while nobody can say. Between two hosts nobody tells a container that its packets are too large.
 */
export function networkMtu(spec: NetworkSpec, nodes: Iterable<Node>): number {
  if (spec.mtu > 0) return spec.mtu;
  const known = [...nodes]
    .filter((node) => canJoin(node, spec))
    .map((node) => mtuOn(node, spec))
    .filter((mtu) => mtu > 0);
  return known.length === 0 ? 0 : Math.min(...known);
}

/** What is wrong with a network's MTU, a sentence for each of the nodes that take part. */
export function mtuProblems({ mtu, spec }: Network, nodes: Iterable<Node>): readonly string[] {
  if (mtu === 0 || spec === undefined) return [];
  return [...nodes].flatMap((node) => {
    const most = mtuOn(node, spec);
    if (most === 0 || most >= mtu) return [];
    const name = node.description?.hostname || node.id;
    return [
      `node ${name} takes packets of ${most} bytes, the network's have up to ${mtu}: large datagrams to it get lost, while TCP finds out by itself. Raise the MTU of the node's uplink, or make the network anew`,
    ];
  });
}

/** 0: not known. */
function mtuOn({ description }: Node, { encrypted }: Pick<NetworkSpec, "encrypted">): number {
  const plain = description?.dataPlane?.overlayMtu ?? 0;
  return plain === 0 ? 0 : plain - (encrypted ? WIREGUARD_OVERHEAD_BYTES : 0);
}
