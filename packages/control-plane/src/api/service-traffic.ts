import {
  type GetServiceTrafficRequest,
  type GetServiceTrafficResponse,
  NodeState,
  type NodeTraffic,
} from "@berth/proto";
import { nodeName } from "../core/model/node-name.js";
import type { ApiContext } from "./api-context.js";
import { findService } from "./lookup.js";

/**
 * Collects the traffic counters of a service from all nodes that are up.
 *
 * @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS
 */
export async function getServiceTraffic(
  request: GetServiceTrafficRequest,
  { state, trafficCollector }: ApiContext,
  signal: AbortSignal,
): Promise<GetServiceTrafficResponse> {
  const service = findService(state, request.service);
  const nodes = [...state.nodes.values()].filter((node) => node.state === NodeState.READY);
  const nodeIds = nodes.map(({ id }) => id);
  const reports = await trafficCollector.collect(service.spec?.name ?? "", nodeIds, signal);
  const hosts: NodeTraffic[] = [];
  const unresponsive: string[] = [];
  for (const node of nodes) {
    const hostname = nodeName(node);
    const report = reports.get(node.id);
    if (report === undefined) {
      unresponsive.push(hostname);
    } else if (report.traffic !== undefined) {
      hosts.push({ nodeId: node.id, hostname, traffic: report.traffic });
    }
  }
  return { hosts, unresponsive };
}
