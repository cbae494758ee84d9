import { createRpcClient, type RpcClientOptions, type RpcConnection } from "./client.js";
import type { RpcIdentity } from "./rpc-identity.js";
import { type RpcServer, type RpcServerOptions, startRpcServer } from "./server.js";
import type { RpcDefinition } from "./types.js";

/** Creates servers and clients: over gRPC, or over a simulated network in tests. */
export interface RpcTransport {
  /** Starts a server. @throws BerthError BERTH_ADDRESS_IN_USE when it cannot listen on the address */
  serve(options: RpcServerOptions): Promise<RpcServer>;
  /** Returns a client, which connects with the first call. */
  connect<D extends RpcDefinition>(definition: D, options: RpcClientOptions): RpcConnection<D>;
}

/** Returns a transport whose clients connect with this identity. */
export function withIdentity(transport: RpcTransport, identity: RpcIdentity): RpcTransport {
  return {
    serve: (options) => transport.serve(options),
    connect: (definition, options) => transport.connect(definition, { ...options, identity }),
  };
}

export const grpcTransport: RpcTransport = { serve: startRpcServer, connect: createRpcClient };
