import {
  type GetServiceTrafficRequest,
  type GetServiceTrafficResponse,
  NodeState,
  type NodeTraffic,
} from "@berth/proto";
import type { ApiContext } from "./api-context.js";
import { findService } from "./lookup.js";

/** Collects the traffic counters of a service from all nodes. @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS */
export async function getServiceTraffic(
  request: GetServiceTrafficRequest,
  { state, trafficCollector }: ApiContext,
  signal: AbortSignal,
): Promise<GetServiceTrafficResponse> {
  const service = findService(state, request.service);
  const nodes = [...state.nodes.values()].filter((node) => node.state === NodeState.READY);
  const nodeIds = nodes.map(({ id }) => id);
  const answers = await trafficCollector.collect(service.spec?.name ?? "", nodeIds, signal);
  const hosts: NodeTraffic[] = [];
  const unresponsive: string[] = [];
  for (const { id, description } of nodes) {
    const hostname = description?.hostname ?? id;
    const answer = answers.get(id);
    if (answer === undefined) unresponsive.push(hostname);
    else if (answer.traffic !== undefined) hosts.push({ nodeId: id, hostname, traffic: answer.traffic });
  }
  return { hosts, unresponsive };
}
