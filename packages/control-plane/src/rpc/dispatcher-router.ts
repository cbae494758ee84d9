import { BerthError, type DispatcherServiceService, type RpcHandlers } from "@berth/proto";
import type { Leadership } from "../loop/leadership.js";
import type { Role } from "./role.js";

/** The Dispatcher service of any server: agents belong to the leader, and are sent there by all others. */
export function dispatcherHandlers(role: Role): RpcHandlers<typeof DispatcherServiceService> {
  return {
    async *session(requests, context) {
      yield* leading(role).dispatcher.serve(requests, context);
    },
    async *pushExec(requests, context) {
      yield* leading(role).execs.push(requests, context);
    },
    pushLogs: async (requests, context) => leading(role).logs.push(requests, context),
  };
}

function leading({ leadership, leaderAddress }: Role): Leadership {
  if (leadership !== undefined) return leadership;
  throw new BerthError({
    code: "BERTH_NOT_LEADER",
    message:
      leaderAddress === undefined
        ? "This server does not lead, and knows of none that does. Try again in a moment."
        : `This server does not lead; ${leaderAddress} does.`,
    details: leaderAddress === undefined ? {} : { leader: leaderAddress },
  });
}
