import {
  DesiredState,
  EndpointMode,
  type NameEndpoint,
  type NameEntry,
  NodeState,
  type Task,
  TaskState,
} from "@berth/proto";
import type { ClusterView, ServiceView } from "../model.js";
import { runsWell, stateOf } from "../task-state.js";

export interface NameSources {
  readonly nodes: ClusterView["nodes"];
  /** Nodes that fell silent a moment ago, and may be dead. */
  readonly isSuspect: (nodeId: string) => boolean;
  /** Id of the network of that name; undefined when there is none. */
  readonly networkIdOf: (name: string) => string | undefined;
  /** The address that stands for the service in a network; "": none. */
  readonly vipIn: (networkId: string) => string;
}

/** "<network id>/<service id>" */
export function nameKey(networkId: string, serviceId: string): string {
  return `${networkId}/${serviceId}`;
}

export function networkOfNameKey(key: string): string {
  return key.slice(0, key.indexOf("/"));
}

/**
 * The names of a service in each of its networks, and who answers to them: tasks that run well on a live node, also
 * on a suspect one only while there are no others. Draining are those that were told to stop and still run. Ordered by
 * task id, so that equal entries are equal.
 */
export function nameEntries(view: ServiceView, sources: NameSources): readonly NameEntry[] {
  const { service, spec, tasks } = view;
  const attachments = spec.task?.networks ?? [];
  if (attachments.length === 0) return [];
  const running = tasks.filter(isRunning).sort((a, b) => (a.id < b.id ? -1 : 1));
  const own = spec.stack === "" ? spec.name : spec.name.slice(spec.stack.length + 1);
  return attachments.flatMap(({ network, aliases }) => {
    const networkId = sources.networkIdOf(network);
    if (networkId === undefined) return [];
    return [
      {
        key: nameKey(networkId, service.id),
        networkId,
        serviceId: service.id,
        serviceName: spec.name,
        stack: spec.stack,
        names: [...new Set([own, ...aliases])],
        vip: spec.endpointMode === EndpointMode.DNSRR ? "" : sources.vipIn(networkId),
        ...endpointsOf(running, networkId, sources),
      },
    ];
  });
}

function endpointsOf(
  tasks: readonly Task[],
  networkId: string,
  { nodes, isSuspect }: NameSources,
): Pick<NameEntry, "endpoints" | "draining"> {
  const endpoints: NameEndpoint[] = [];
  const draining: NameEndpoint[] = [];
  for (const task of tasks) {
    const address = task.status?.addresses.find((each) => each.networkId === networkId)?.address ?? "";
    if (address === "" || nodes.get(task.nodeId)?.node.state !== NodeState.READY) continue;
    const endpoint = { taskId: task.id, nodeId: task.nodeId, address, slot: task.slot };
    if (task.desiredState >= DesiredState.SHUTDOWN) draining.push(endpoint);
    else if (runsWell(task)) endpoints.push(endpoint);
  }
  const trusted = endpoints.filter(({ nodeId }) => !isSuspect(nodeId));
  return { endpoints: trusted.length > 0 ? trusted : endpoints, draining };
}

const isRunning = (task: Task): boolean => stateOf(task) === TaskState.RUNNING;
