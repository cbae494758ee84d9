import { BerthError, ControlServiceService, isBerthError } from "@berth/proto";
import type { CallOptions, RpcClient, RpcTransport } from "@berth/proto/rpc";
import type { MembershipRequests } from "../store/embedded/membership.js";

export interface MembershipRequestOptions {
  readonly transport: RpcTransport;
  /** "host:port" of each known server. Any of them forwards the requests to the leader. */
  readonly servers: readonly string[];
}

/** Returns the requests of a joining server, which are sent to the first server that responds. */
export function membershipRequests(options: MembershipRequestOptions): MembershipRequests {
  return {
    add: (peerUrl, signal) =>
      callAny(options, signal, (calls, call) => calls.addEtcdMember({ peerUrl }, call)),
    promote: (peerUrl, signal) =>
      callAny(options, signal, (calls, call) => calls.promoteEtcdMember({ peerUrl }, call)),
  };
}

/** Timeout for one server, so that an unresponsive host leaves time for the others. */
const SERVER_TIMEOUT_MS = 5_000;

/** Calls the servers one after another until one responds. Repeated requests are safe. */
async function callAny<T>(
  { transport, servers }: MembershipRequestOptions,
  signal: AbortSignal,
  call: (calls: RpcClient<typeof ControlServiceService>, options: CallOptions) => Promise<T>,
): Promise<T> {
  let failure: BerthError = new BerthError({
    code: "BERTH_SERVER_UNREACHABLE",
    message: "no other server is known",
  });
  for (const address of servers) {
    const connection = transport.connect(ControlServiceService, { address });
    try {
      return await call(connection.calls, { signal, timeoutMs: SERVER_TIMEOUT_MS });
    } catch (error) {
      const isSilent =
        isBerthError(error, "BERTH_SERVER_UNREACHABLE") || isBerthError(error, "BERTH_DEADLINE");
      if (!isSilent || signal.aborted) throw error;
      failure = error;
    } finally {
      connection.close();
    }
  }
  throw failure;
}
