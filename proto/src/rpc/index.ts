export { createRpcClient, type RpcClientOptions, type RpcConnection } from "./client.js";
export { forwardService } from "./forward.js";
export {
  type RpcServer,
  type RpcServerOptions,
  type RpcService,
  rpcService,
  startRpcServer,
} from "./server.js";
export { grpcTransport, type RpcTransport } from "./transport.js";
export type {
  CallContext,
  CallOptions,
  RequestOf,
  RpcClient,
  RpcDefinition,
  RpcHandlers,
  RpcMethod,
} from "./types.js";
