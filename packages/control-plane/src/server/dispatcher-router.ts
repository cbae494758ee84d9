import { BerthError, type DispatcherServiceService, isBerthError } from "@berth/proto";
import type { RpcHandlers } from "@berth/proto/rpc";
import type { Leadership } from "./leader.js";
import type { Role } from "./role.js";

/** An agent that lost its leader waits here for the next one, instead of asking around. */
const LEADER_WAIT_MS = 2_000;

/** The Dispatcher service of any server: agents belong to the leader, and are sent there by all others. */
export function dispatcherHandlers(role: Role): RpcHandlers<typeof DispatcherServiceService> {
  return {
    async *session(requests, context) {
      const { dispatcher } = await leading(role, LEADER_WAIT_MS, context.signal);
      yield* dispatcher.serve(requests, context);
    },
    async *pushExec(requests, context) {
      const { execs } = await leading(role, 0, context.signal);
      yield* execs.push(requests, context);
    },
    pushStats: async (requests, context) => {
      const { stats: loads } = await leading(role, 0, context.signal);
      return loads.push(requests);
    },
    pushLogs: async (requests, context) => {
      const { logs } = await leading(role, 0, context.signal);
      return logs.push(requests, context);
    },
  };
}

async function leading(role: Role, waitMs: number, signal: AbortSignal): Promise<Leadership> {
  const target = await role.waitForTarget(waitMs, signal).catch((error: unknown) => {
    if (!isBerthError(error, "BERTH_NO_LEADER")) throw error;
    return undefined;
  });
  if (target?.kind === "self") return target.leadership;
  throw new BerthError({
    code: "BERTH_NOT_LEADER",
    message:
      target === undefined
        ? "This server does not lead, and knows of none that does. Try again in a moment."
        : `This server does not lead; ${target.address} does.`,
    details: target === undefined ? {} : { leader: target.address },
  });
}
