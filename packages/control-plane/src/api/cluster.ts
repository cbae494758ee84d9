import { BERTH_VERSION, type GetClusterResponse, PROTOCOL_VERSIONS } from "@berth/proto";
import { supportedVersion } from "../core/schema/raise-schema.js";
import type { ApiContext } from "./api-context.js";

/** Returns the leader, the servers and the versions of the cluster. */
export function getCluster({ address, epoch, servers, runtime, schema }: ApiContext): GetClusterResponse {
  return {
    serverVersion: BERTH_VERSION,
    protocolVersion: PROTOCOL_VERSIONS.newest,
    oldestProtocolVersion: PROTOCOL_VERSIONS.oldest,
    leaderAddress: address,
    epoch: Number(epoch),
    servers: [...servers()],
    schemaVersion: schema.current,
    supportedSchemaVersion: supportedVersion(schema.servers(), schema.versions),
    nowMs: runtime.wallClockMs(),
  };
}
