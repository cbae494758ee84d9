import type { RpcSecurity } from "./authorization.js";
import { createRpcClient, type RpcConnection } from "./client.js";
import type { TcpClientOptions } from "./client-connections.js";
import { type DownloadOptions, download } from "./download-client.js";
import type { RpcIdentity } from "./rpc-identity.js";
import { type RpcServer, type RpcServerOptions, startRpcServer } from "./server.js";
import type { RpcDefinition } from "./types.js";

/** The network access of a program with its identity: gRPC with TLS, or a simulated network in tests. */
export interface RpcTransport {
  /**
   * Starts a server.
   *
   * @throws BerthError BERTH_ADDRESS_IN_USE if it cannot listen on the address
   */
  serve(options: ServeOptions): Promise<RpcServer>;
  /** Returns a client, which connects with the first call. */
  connect<D extends RpcDefinition>(definition: D, options: ConnectOptions): RpcConnection<D>;
  /** Downloads content, see `download`. */
  download(name: string, options: DownloadOptions): Promise<boolean>;
}

export interface ServeOptions extends Omit<RpcServerOptions, "listener"> {
  /** "host:port"; port 0 picks a free one. */
  readonly address: string;
  /** Which callers the server admits. */
  readonly access: AccessRules;
}

export type AccessRules = Omit<RpcSecurity, "identity">;

export type ConnectOptions = Omit<TcpClientOptions, "identity">;

/** Returns the transport of a program with this identity. */
export function grpcTransport(identity: RpcIdentity): RpcTransport {
  return {
    serve: ({ address, access, ...options }) =>
      startRpcServer({
        ...options,
        listener: { kind: "tcp", address, security: { ...access, identity } },
      }),
    connect: (definition, options) => createRpcClient(definition, { ...options, identity }),
    download: (name, options) => download(identity, name, options),
  };
}
