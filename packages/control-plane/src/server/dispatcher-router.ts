import { BerthError, type DispatcherServiceService, isBerthError } from "@berth/proto";
import type { RpcHandlers } from "@berth/proto/rpc";
import { dispatcherHandlers } from "../dispatcher/dispatcher-service.js";
import type { Leadership } from "./leader.js";
import type { Role } from "./role.js";

/** An agent that lost its leader waits this long for the next one here, instead of trying one server after another. */
const LEADER_WAIT_MS = 2_000;

type Handlers = RpcHandlers<typeof DispatcherServiceService>;

/**
 * Returns the Dispatcher service of any server: the leader serves the agents, and every other server answers with
 * BERTH_NOT_LEADER and the leader's address.
 */
export function routeDispatcherService(role: Role): Handlers {
  const leader = async (waitMs: number, signal: AbortSignal): Promise<Handlers> =>
    dispatcherHandlers(await ownLeadership(role, waitMs, signal));
  return {
    async *session(requests, context) {
      yield* (await leader(LEADER_WAIT_MS, context.signal)).session(requests, context);
    },
    async *pushExec(requests, context) {
      yield* (await leader(0, context.signal)).pushExec(requests, context);
    },
    pushStats: async (requests, context) => (await leader(0, context.signal)).pushStats(requests, context),
    pushLogs: async (requests, context) => (await leader(0, context.signal)).pushLogs(requests, context),
  };
}

/** Returns this server's leadership. @throws BerthError BERTH_NOT_LEADER when another server leads, or none does */
async function ownLeadership(role: Role, waitMs: number, signal: AbortSignal): Promise<Leadership> {
  const target = await role.waitForTarget(waitMs, signal).catch((error: unknown) => {
    if (!isBerthError(error, "BERTH_NO_LEADER")) throw error;
    return undefined;
  });
  if (target?.kind === "self") return target.leadership;
  throw new BerthError({
    code: "BERTH_NOT_LEADER",
    message:
      target === undefined
        ? "this server is not the leader, and no leader is known: try again"
        : `this server is not the leader; the leader is ${target.address}`,
    details: target === undefined ? {} : { leader: target.address },
  });
}
