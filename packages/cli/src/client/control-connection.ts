import { ControlServiceService } from "@berth/proto";
import { createRpcClient, type RpcClient, type RpcClientOptions, type RpcConnection } from "@berth/proto/rpc";

/** The typed calls of the control service. */
export type ControlClient = RpcClient<typeof ControlServiceService>;

export type ControlConnection = RpcConnection<typeof ControlServiceService>;

/** The address of a server, and the identity with which to connect to it. A Unix socket needs none. */
export type ControlServer = RpcClientOptions;

/** Returns a client of one server. */
export function connectTo(server: ControlServer): ControlConnection {
  return createRpcClient(ControlServiceService, server);
}
