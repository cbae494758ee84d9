import type { ListPeersResponse } from "@berth/proto";
import type { Caller } from "@berth/proto/rpc";
import type { ApiContext } from "./api-context.js";
import { networkName } from "./deploy/decide-networks.js";
import { listNetworks } from "./networks.js";
import { listNodes } from "./nodes.js";

/** Returns the other hosts by hostname and the problems that the leader has found, for `berth doctor` on a node. */
export function listPeers(context: ApiContext, caller: Caller): ListPeersResponse {
  const ownId = caller.kind === "node" ? caller.id : "";
  const { nodes } = listNodes(context);
  const { networks } = listNetworks({ stack: "" }, context);
  return {
    peers: nodes.flatMap(({ node }) => {
      if (node === undefined || node.id === ownId) return [];
      const { hostname = "", address = "", imagePort = 0 } = node.description ?? {};
      return [{ hostname, address, state: node.state, imagePort }];
    }),
    nodeProblems: nodes.flatMap(({ node, problems }) => (node?.id === ownId ? problems : [])),
    networks: networks.flatMap(({ network, problems }) =>
      network === undefined || problems.length === 0
        ? []
        : [{ network: networkName(network), problems: [...problems] }],
    ),
  };
}
