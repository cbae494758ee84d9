import { BerthError, ControlServiceService, isBerthError } from "@berth/proto";
import type { RpcClient, RpcTransport } from "@berth/proto/rpc";
import type { MembershipRequests } from "../store/embedded/membership.js";

export interface MembershipRequestOptions {
  readonly transport: RpcTransport;
  /** "host:port" of each known server. Any of them forwards the requests to the leader. */
  readonly servers: readonly string[];
}

/** Returns the requests of a server that joins, to the first server that answers. */
export function membershipRequests(options: MembershipRequestOptions): MembershipRequests {
  return {
    add: (peerUrl, signal) => callAny(options, (calls) => calls.addEtcdMember({ peerUrl }, { signal })),
    promote: (peerUrl, signal) =>
      callAny(options, (calls) => calls.promoteEtcdMember({ peerUrl }, { signal })),
  };
}

/** Calls one server after the other until one can be reached. Repeated requests are safe. */
async function callAny<T>(
  { transport, servers }: MembershipRequestOptions,
  call: (calls: RpcClient<typeof ControlServiceService>) => Promise<T>,
): Promise<T> {
  let failure = new BerthError({ code: "BERTH_SERVER_UNREACHABLE", message: "no other server is known" });
  for (const address of servers) {
    const connection = transport.connect(ControlServiceService, { address });
    try {
      return await call(connection.calls);
    } catch (error) {
      if (!isBerthError(error, "BERTH_SERVER_UNREACHABLE")) throw error;
      failure = error;
    } finally {
      connection.close();
    }
  }
  throw failure;
}
