import { BerthError, type Node, type Server } from "@berth/proto";
import { isRemoved } from "./server-records.js";

/**
 * Maximum number of nodes. It is far above the sizes that the scheduler benchmarks measure, and the records of that
 * many nodes still fit into etcd.
 */
export const MAX_NODES = 10_000;

/**
 * Maximum number of nodes that wait for approval, so that the bearer of a token cannot take the place of all other
 * nodes.
 */
export const MAX_WAITING_NODES = 1_000;

/**
 * Maximum number of servers, not counting removed ones. It only limits the abuse of a leaked token: etcd recommends at
 * most seven members.
 */
export const MAX_SERVERS = 100;

/** @throws BerthError BERTH_LIMIT_EXCEEDED when no further node may join */
export function requireRoomForNode(
  nodes: { readonly size: number; values(): Iterable<Node> },
  { awaitsApproval }: Pick<Node, "awaitsApproval">,
): void {
  if (nodes.size >= MAX_NODES) {
    throw limitExceededError(
      `the cluster has ${MAX_NODES} nodes, which is the limit; remove nodes that are gone with "berth node rm"`,
    );
  }
  if (!awaitsApproval) return;
  let waiting = 0;
  for (const node of nodes.values()) {
    if (node.awaitsApproval) waiting += 1;
  }
  if (waiting >= MAX_WAITING_NODES) {
    throw limitExceededError(
      `${MAX_WAITING_NODES} nodes wait for approval, which is the limit; accept them with "berth node accept", or remove them with "berth node rm"`,
    );
  }
}

/** @throws BerthError BERTH_LIMIT_EXCEEDED when no further server may join */
export function requireRoomForServer(servers: Iterable<Server>): void {
  let present = 0;
  for (const server of servers) {
    if (!isRemoved(server)) present += 1;
  }
  if (present >= MAX_SERVERS) {
    throw limitExceededError(
      `the cluster has ${MAX_SERVERS} servers, which is the limit; remove servers that are gone with "berth server rm"`,
    );
  }
}

function limitExceededError(reason: string): BerthError {
  return new BerthError({ code: "BERTH_LIMIT_EXCEEDED", message: `cannot join the cluster: ${reason}` });
}
