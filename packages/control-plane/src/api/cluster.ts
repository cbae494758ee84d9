import { BERTH_VERSION, type GetClusterResponse, PROTOCOL_VERSION } from "@berth/proto";
import type { ApiContext } from "./api-context.js";

/** Returns the leader, the servers and the versions of the cluster. */
export function getCluster({ address, epoch, servers, runtime }: ApiContext): GetClusterResponse {
  return {
    serverVersion: BERTH_VERSION,
    protocolVersion: PROTOCOL_VERSION,
    leaderAddress: address,
    epoch: Number(epoch),
    servers: [...servers()],
    nowMs: runtime.wallClockMs(),
  };
}
