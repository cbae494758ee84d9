import { type DispatcherServiceService, isBerthError, scaleTiming } from "@berth/proto";
import type { RpcHandlers } from "@berth/proto/rpc";
import { notLeaderError } from "../runtime/leader-errors.js";
import type { LeadershipState } from "./leadership-state.js";

/** Time for which an agent's session waits here for the next leader, before the agent tries another server. */
const LEADER_WAIT_MS = scaleTiming(2_000);

type Handlers = RpcHandlers<typeof DispatcherServiceService>;

/**
 * Returns the Dispatcher service of any server: the leader serves the agents, and every other server returns
 * BERTH_NOT_LEADER with the leader's address.
 */
export function routeDispatcherService(leadership: LeadershipState): Handlers {
  return {
    async *session(requests, context) {
      yield* (await localHandlers(leadership, LEADER_WAIT_MS, context.signal)).session(requests, context);
    },
    async *pushExec(requests, context) {
      yield* (await localHandlers(leadership, 0, context.signal)).pushExec(requests, context);
    },
    findImage: async (request, context) =>
      (await localHandlers(leadership, 0, context.signal)).findImage(request, context),
    async *receiveImage(requests, context) {
      yield* (await localHandlers(leadership, 0, context.signal)).receiveImage(requests, context);
    },
    pushStats: async (requests, context) =>
      (await localHandlers(leadership, 0, context.signal)).pushStats(requests, context),
    pushLogs: async (requests, context) =>
      (await localHandlers(leadership, 0, context.signal)).pushLogs(requests, context),
  };
}

/**
 * Returns the handlers of this server.
 *
 * @throws BerthError BERTH_NOT_LEADER unless this server is the leader
 */
async function localHandlers(
  leadership: LeadershipState,
  waitMs: number,
  signal: AbortSignal,
): Promise<Handlers> {
  const route = await leadership.waitForRoute(waitMs, signal).catch((error: unknown) => {
    if (!isBerthError(error, "BERTH_NO_LEADER")) throw error;
    return undefined;
  });
  if (route?.kind === "local") return route.leader.dispatcher;
  throw notLeaderError({ leader: route?.address });
}
