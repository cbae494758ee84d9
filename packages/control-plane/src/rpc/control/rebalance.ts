import { BerthError, type RebalanceRequest, type RebalanceResponse } from "@berth/proto";
import type { ControlScope } from "./scope.js";

export function rebalance(
  _request: RebalanceRequest,
  _scope: ControlScope,
  _signal: AbortSignal,
): Promise<RebalanceResponse> {
  throw new BerthError({ code: "BERTH_INTERNAL", message: "Rebalancing is not there yet." });
}
