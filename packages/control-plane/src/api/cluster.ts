import { BERTH_VERSION, type GetClusterResponse, PROTOCOL_VERSIONS } from "@berth/proto";
import type { ApiContext } from "./api-context.js";

/** Returns the leader, the servers and the versions of the cluster. */
export function getCluster({ address, epoch, servers, runtime }: ApiContext): GetClusterResponse {
  return {
    serverVersion: BERTH_VERSION,
    protocolVersion: PROTOCOL_VERSIONS.newest,
    oldestProtocolVersion: PROTOCOL_VERSIONS.oldest,
    leaderAddress: address,
    epoch: Number(epoch),
    servers: [...servers()],
    nowMs: runtime.wallClockMs(),
  };
}
