import type { DispatcherServiceService } from "@berth/proto";
import type { RpcHandlers } from "@berth/proto/rpc";
import type { Dispatcher } from "./dispatcher.js";
import type { ExecRelay } from "./relays/exec-relay.js";
import type { LogRelay } from "./relays/log-relay.js";
import type { StatsRelay } from "./relays/stats-relay.js";

export interface DispatcherHandlers {
  readonly dispatcher: Dispatcher;
  readonly execs: ExecRelay;
  readonly logs: LogRelay;
  readonly stats: StatsRelay;
}

/** Returns the leader's handlers of the Dispatcher service, which agents call, for one term. */
export function dispatcherHandlers({
  dispatcher,
  execs,
  logs,
  stats,
}: DispatcherHandlers): RpcHandlers<typeof DispatcherServiceService> {
  return {
    session: (requests, context) => dispatcher.serve(requests, context),
    pushExec: (requests, context) => execs.serve(requests, context),
    pushLogs: (requests, context) => logs.serve(requests, context),
    pushStats: (requests) => stats.serve(requests),
  };
}
