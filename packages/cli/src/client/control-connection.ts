import { ControlServiceService } from "@berth/proto";
import { createRpcClient, type RpcClient, type RpcConnection, type RpcIdentity } from "@berth/proto/rpc";
import { socketPathOf } from "./addresses.js";

/** The typed calls of the control service. */
export type ControlClient = RpcClient<typeof ControlServiceService>;

/** Returns a client of one server. Connects with TLS when there is an identity, except over a unix socket. */
export function connectTo(
  address: string,
  identity: RpcIdentity | undefined,
): RpcConnection<typeof ControlServiceService> {
  const usesTls = identity !== undefined && socketPathOf(address) === undefined;
  return createRpcClient(ControlServiceService, { address, ...(usesTls && { identity }) });
}
