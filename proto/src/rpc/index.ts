export {
  type AuthorizationRules,
  authorizeCall,
  type RefusedRpc,
  type Revocations,
  type RpcSecurity,
} from "./authorization.js";
export { type Caller, callerKey, describeCaller, LOCAL_USER, requireNode } from "./caller.js";
export { createRpcClient, type RpcConnection } from "./client.js";
export { addressOf, type RpcClientOptions } from "./client-connections.js";
export type { DownloadOptions } from "./download-client.js";
export type { Download, DownloadService } from "./download-server.js";
export { forwardService } from "./forward.js";
export { type JoinClusterOptions, type JoinedCluster, joinCluster, requestJoin } from "./join-cluster.js";
export { PERMISSIONS, type Permissions, type Role, type UserRole } from "./permissions.js";
export { encodeResponsesOnce, preserveReceived } from "./preserve-received.js";
export {
  RotatingIdentity,
  type RpcIdentity,
  type TlsMaterial,
  tlsMaterialOf,
  trustOf,
} from "./rpc-identity.js";
export {
  type RpcListener,
  type RpcServer,
  type RpcServerOptions,
  type RpcService,
  rpcService,
  startRpcServer,
} from "./server.js";
export { clientSource } from "./source.js";
export type { HttpAcceptor } from "./tls-listener.js";
export {
  type AccessRules,
  type ConnectOptions,
  grpcTransport,
  type RpcTransport,
  type ServeOptions,
} from "./transport.js";
export type {
  CallContext,
  CallOptions,
  RequestOf,
  RpcClient,
  RpcDefinition,
  RpcHandlers,
  RpcMethod,
} from "./types.js";
