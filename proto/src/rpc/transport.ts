import { createRpcClient, type RpcClientOptions, type RpcConnection } from "./client.js";
import { type RpcServer, type RpcServerOptions, startRpcServer } from "./server.js";
import type { RpcDefinition } from "./types.js";

/** How calls travel: over gRPC in a process, over a simulated network in a simulation. */
export interface RpcTransport {
  /** @throws BerthError BERTH_ADDRESS_IN_USE when the address cannot be listened on. */
  serve(options: RpcServerOptions): Promise<RpcServer>;
  /** Nothing is connected before the first call. */
  connect<D extends RpcDefinition>(definition: D, options: RpcClientOptions): RpcConnection<D>;
}

export const grpcTransport: RpcTransport = { serve: startRpcServer, connect: createRpcClient };
