import type { ControlServiceService } from "@berth/proto";
import type { RpcHandlers } from "@berth/proto/rpc";
import type { ApiContext } from "./api-context.js";
import { getCluster } from "./cluster.js";
import { deployStack } from "./deploy-stack.js";
import { streamEvents } from "./events/stream-events.js";
import { exec } from "./exec.js";
import { streamLogs } from "./logs/stream-logs.js";
import { createNetwork, getNetwork, listNetworks, removeNetworks } from "./networks.js";
import { getNode, listNodes, removeNode, updateNode } from "./nodes.js";
import { rebalance } from "./rebalance.js";
import { rollbackService } from "./rollback-service.js";
import { getServiceTraffic } from "./service-traffic.js";
import { getService, listServices, removeServices, scaleServices } from "./services.js";
import { listTasks } from "./tasks.js";
import { updateService } from "./update-service.js";
import { watchServices } from "./watch-services.js";
import { watchStats } from "./watch-stats.js";

/** The leader's answers to the command line, for one term. */
export function controlHandlers(scope: ApiContext): RpcHandlers<typeof ControlServiceService> {
  return {
    getCluster: async () => getCluster(scope),
    deployStack: (request, { signal }) => deployStack(request, scope, signal),
    listServices: async (request) => listServices(request, scope),
    getService: async (request) => getService(request, scope),
    getServiceTraffic: (request, { signal }) => getServiceTraffic(request, scope, signal),
    scaleServices: (request, { signal }) => scaleServices(request, scope, signal),
    updateService: (request, { signal }) => updateService(request, scope, signal),
    rollbackService: (request, { signal }) => rollbackService(request, scope, signal),
    removeServices: (request, { signal }) => removeServices(request, scope, signal),
    watchServices: (request, { signal }) => watchServices(request, scope, signal),
    listTasks: async (request) => listTasks(request, scope),
    streamLogs: (request, { signal }) => streamLogs(request, scope, signal),
    watchStats: (request, { signal }) => watchStats(request, scope, signal),
    streamEvents: (request, { signal }) => streamEvents(request, scope, signal),
    exec: (requests, { signal }) => exec(requests, scope, signal),
    listNodes: async () => listNodes(scope),
    getNode: async (request) => getNode(request, scope),
    updateNode: (request, { signal }) => updateNode(request, scope, signal),
    removeNode: (request, { signal }) => removeNode(request, scope, signal),
    listNetworks: async (request) => listNetworks(request, scope),
    getNetwork: async (request) => getNetwork(request, scope),
    createNetwork: (request, { signal }) => createNetwork(request, scope, signal),
    removeNetworks: (request, { signal }) => removeNetworks(request, scope, signal),
    rebalance: (request, { signal }) => rebalance(request, scope, signal),
  };
}
