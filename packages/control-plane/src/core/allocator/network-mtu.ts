import type { Network, NetworkSpec, Node } from "@berth/proto";
import { canJoin } from "./network-eligibility.js";

/** Number of bytes that WireGuard adds to each packet, including the longer inner headers. */
const WIREGUARD_OVERHEAD_BYTES = 80;

/**
 * Returns the MTU of a new network: the MTU of its spec, or the largest that every eligible node supports.
 *
 * Returns 0 while no node has reported its MTU. All hosts need the same MTU, because a container is not notified when its
 * packets are too large for another host.
 */
export function networkMtu(spec: NetworkSpec, nodes: Iterable<Node>): number {
  if (spec.mtu > 0) return spec.mtu;
  const reportedValues = [...nodes]
    .filter((node) => canJoin(node, spec))
    .map((node) => maxMtu(node, spec))
    .filter((mtu) => mtu > 0);
  return reportedValues.length === 0 ? 0 : Math.min(...reportedValues);
}

/** Returns a message for each node that does not support the network's MTU. */
export function mtuProblems({ mtu, spec }: Network, nodes: Iterable<Node>): readonly string[] {
  if (mtu === 0 || spec === undefined) return [];
  return [...nodes].flatMap((node) => {
    const max = maxMtu(node, spec);
    if (max === 0 || max >= mtu) return [];
    const name = node.description?.hostname || node.id;
    return [
      `node ${name} supports packets of ${max} bytes, but the network's MTU is ${mtu}: large datagrams to the node are lost (TCP adapts); raise the MTU of the node's uplink or recreate the network`,
    ];
  });
}

/** Returns the largest MTU that a node supports. 0 when it is unknown. */
function maxMtu({ description }: Node, { encrypted }: Pick<NetworkSpec, "encrypted">): number {
  const plain = description?.dataPlane?.overlayMtu ?? 0;
  return plain === 0 ? 0 : plain - (encrypted ? WIREGUARD_OVERHEAD_BYTES : 0);
}
