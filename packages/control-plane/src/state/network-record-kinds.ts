import { Network, NetworkRange, Node, VirtualIp } from "@berth/proto";
import { decodeMessage, encodeMessage } from "./message-codec.js";
import { defineKind, requireSameId, wrap } from "./record-kind.js";

export const nodeKind = defineKind<{ readonly node: Node }, { readonly nodeId: string }>({
  collection: "nodes",
  keyFields: ["nodeId"],
  idOf: ({ node }) => ({ nodeId: node.id }),
  encode: ({ node }) => encodeMessage(Node, node),
  decode: (value, { nodeId }) => {
    const node = decodeMessage(Node, value);
    requireSameId(node.id, nodeId);
    return { node };
  },
  get: ({ nodes }, { nodeId }) => wrap("node", nodes.get(nodeId)),
  put: ({ nodes }, { node }) => nodes.put(node),
  delete: ({ nodes }, { nodeId }) => nodes.delete(nodeId),
  addToDelta: (delta, { nodeId }, { before, after }) => {
    delta.addNode(nodeId, { before: before?.node, after: after?.node });
  },
});

export const networkKind = defineKind<{ readonly network: Network }, { readonly networkId: string }>({
  collection: "networks",
  keyFields: ["networkId"],
  idOf: ({ network }) => ({ networkId: network.id }),
  encode: ({ network }) => encodeMessage(Network, network),
  decode: (value, { networkId }) => {
    const network = decodeMessage(Network, value);
    requireSameId(network.id, networkId);
    if (network.spec === undefined) throw new Error("the network has no spec");
    return { network };
  },
  get: ({ networks }, { networkId }) => wrap("network", networks.get(networkId)),
  put: ({ networks }, { network }) => networks.put(network),
  delete: ({ networks }, { networkId }) => networks.delete(networkId),
  addToDelta: ({ networks }, { networkId }) => networks.add(networkId),
});

export const rangeKind = defineKind<
  { readonly range: NetworkRange },
  { readonly networkId: string; readonly nodeId: string }
>({
  collection: "ranges",
  keyFields: ["networkId", "nodeId"],
  idOf: ({ range: { networkId, nodeId } }) => ({ networkId, nodeId }),
  encode: ({ range }) => encodeMessage(NetworkRange, range),
  decode: (value, { networkId, nodeId }) => {
    const range = decodeMessage(NetworkRange, value);
    requireSameId(range.networkId, networkId);
    requireSameId(range.nodeId, nodeId);
    return { range };
  },
  get: ({ networks }, { networkId, nodeId }) => wrap("range", networks.ranges.get(networkId, nodeId)),
  put: ({ networks }, { range }) => networks.ranges.put(range),
  delete: ({ networks }, { networkId, nodeId }) => networks.ranges.delete(networkId, nodeId),
  addToDelta: ({ ranges }, { networkId }) => ranges.add(networkId),
});

export const vipKind = defineKind<
  { readonly vip: VirtualIp },
  { readonly networkId: string; readonly serviceId: string }
>({
  collection: "vips",
  keyFields: ["networkId", "serviceId"],
  idOf: ({ vip: { networkId, serviceId } }) => ({ networkId, serviceId }),
  encode: ({ vip }) => encodeMessage(VirtualIp, vip),
  decode: (value, { networkId, serviceId }) => {
    const vip = decodeMessage(VirtualIp, value);
    requireSameId(vip.networkId, networkId);
    requireSameId(vip.serviceId, serviceId);
    return { vip };
  },
  get: ({ networks }, { networkId, serviceId }) => wrap("vip", networks.vips.get(networkId, serviceId)),
  put: ({ networks }, { vip }) => networks.vips.put(vip),
  delete: ({ networks }, { networkId, serviceId }) => networks.vips.delete(networkId, serviceId),
  addToDelta: ({ services }, { serviceId }) => services.add(serviceId),
});
