import {
  DesiredState,
  type DnsEndpoint,
  type DnsEntry,
  EndpointMode,
  type Network,
  NodeState,
  type Task,
  TaskState,
  TrafficSpec_Affinity,
} from "@berth/proto";
import type { ClusterSnapshot, ServiceSnapshot } from "../model/snapshot.js";
import { isReady, stateOf } from "../model/task-state.js";

export interface DnsSources {
  readonly nodes: ClusterSnapshot["nodes"];
  /** Nodes that fell silent a moment ago, and may be dead. */
  readonly isSuspect: (nodeId: string) => boolean;
  /** Id of the network of that name; undefined when there is none. */
  readonly networkIdOf: (name: string) => string | undefined;
  /** The address that stands for the service in a network; "": none. */
  readonly virtualIpIn: (networkId: string) => string;
  /** Whether hosts are told where each container of the network is. */
  readonly hasStaticFdb: (networkId: string) => boolean;
}

/** "<network id>/<service id>" */
export function dnsEntryKey(networkId: string, serviceId: string): string {
  return `${networkId}/${serviceId}`;
}

export function networkIdOfDnsEntry(key: string): string {
  return key.slice(0, key.indexOf("/"));
}

/**
 * The names of a service in each of its networks, and who answers to them: tasks that run well on a live node, also
 * on a suspect one only while there are no others. Draining are those that were told to stop and still run. Of a listed
 * network the rest are there, too: they are not answered, but reached. Ordered by task id, so that equal entries are
 * equal.
 */
export function dnsEntries(view: ServiceSnapshot, sources: DnsSources): readonly DnsEntry[] {
  const { service, spec, tasks } = view;
  const attachments = spec.task?.networks ?? [];
  if (attachments.length === 0) return [];
  const started = tasks.filter(hasStarted).sort((a, b) => (a.id < b.id ? -1 : 1));
  const own = spec.stack === "" ? spec.name : spec.name.slice(spec.stack.length + 1);
  return attachments.flatMap(({ network, aliases }) => {
    const networkId = sources.networkIdOf(network);
    if (networkId === undefined) return [];
    return [
      {
        key: dnsEntryKey(networkId, service.id),
        networkId,
        serviceId: service.id,
        serviceName: spec.name,
        stack: spec.stack,
        names: [...new Set([own, ...aliases])],
        vip: spec.endpointMode === EndpointMode.DNSRR ? "" : sources.virtualIpIn(networkId),
        affinity: spec.traffic?.affinity ?? TrafficSpec_Affinity.UNSPECIFIED,
        ...endpointsOf(started, networkId, sources),
      },
    ];
  });
}

function endpointsOf(
  tasks: readonly Task[],
  networkId: string,
  { nodes, isSuspect, hasStaticFdb: isListed }: DnsSources,
): Pick<DnsEntry, "endpoints" | "draining" | "inactive"> {
  const isNetworkListed = isListed(networkId);
  const endpoints: DnsEndpoint[] = [];
  const draining: DnsEndpoint[] = [];
  const others: DnsEndpoint[] = [];
  for (const task of tasks) {
    const joined = task.status?.addresses.find((each) => each.networkId === networkId);
    if (joined === undefined || joined.address === "") continue;
    const { id: taskId, nodeId, slot } = task;
    const macAddress = isNetworkListed ? joined.macAddress : "";
    const endpoint = { taskId, nodeId, address: joined.address, slot, macAddress };
    const isUp = nodes.get(nodeId)?.node.state === NodeState.READY && stateOf(task) === TaskState.RUNNING;
    if (isUp && task.desiredState >= DesiredState.SHUTDOWN) draining.push(endpoint);
    else if (isUp && isReady(task)) endpoints.push(endpoint);
    else others.push(endpoint);
  }
  const trusted = endpoints.filter(({ nodeId }) => !isSuspect(nodeId));
  const answered = trusted.length > 0 ? trusted : endpoints;
  const suspects = endpoints.filter((endpoint) => !answered.includes(endpoint));
  return { endpoints: answered, draining, inactive: isNetworkListed ? [...others, ...suspects] : [] };
}

/** Its container may be there, also on a node that is down. */
const hasStarted = (task: Task): boolean =>
  stateOf(task) === TaskState.STARTING || stateOf(task) === TaskState.RUNNING;

/**
 * Hosts among which packets for everybody (ARP above all) are copied to each. The cost of one is a copy per host;
 * beyond a few dozen (flannel, Calico and the kernel's own documentation agree) hosts are told where containers are.
 */
export const DEFAULT_FLOOD_LIMIT = 32;

/**
 * Whether hosts send nothing to all others of a network, since names say where every container is. Nobody can say so
 * of containers that berth did not make, so networks that such may join stay as they are.
 */
export function hasStaticFdb(network: Network, hosts: number, floodHosts: number): boolean {
  return hosts > floodHosts && !(network.spec?.attachable ?? false);
}
