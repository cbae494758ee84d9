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
import { isReady, isUnhealthy, stateOf } from "../model/task-state.js";

/**
 * Maximum number of hosts of a network in which broadcasts (mostly ARP) are flooded to all hosts. Flooding costs one
 * copy per host. Flannel, Calico and the kernel documentation recommend static forwarding entries for more than a few
 * dozen hosts.
 */
export const DEFAULT_FLOOD_LIMIT = 32;

/**
 * Returns whether the hosts of a network get static forwarding and neighbor entries instead of flooding.
 *
 * Attachable networks are always flooded: berth does not know the containers that users attach.
 */
export function hasStaticFdb(network: Network, hosts: number, floodLimit: number): boolean {
  return hosts > floodLimit && !(network.spec?.attachable ?? false);
}

/** The cluster's state that DNS entries depend on. */
export interface DnsContext {
  readonly nodes: ClusterSnapshot["nodes"];
  readonly isSuspect: (nodeId: string) => boolean;
  /** Returns the ID of the named network, or undefined if there is no such network. */
  readonly networkIdOf: (name: string) => string | undefined;
  /** Returns the service's virtual IP in a network. Empty if it has none. */
  readonly virtualIpIn: (networkId: string) => string;
  readonly hasStaticFdb: (networkId: string) => boolean;
  /** Time for which new connections to the service's virtual IPs wait for a task, in ms. */
  readonly holdMs: number;
}

/** Returns the key of a DNS entry: `<network id>/<service id>`. */
export function dnsEntryKey(networkId: string, serviceId: string): string {
  return `${networkId}/${serviceId}`;
}

/** Returns the network ID in the key of a DNS entry. */
export function networkIdOfDnsEntry(key: string): string {
  return key.slice(0, key.indexOf("/"));
}

/**
 * Returns one DNS entry per network of a service, with its names and endpoints. Agents answer DNS queries from them.
 *
 * Endpoints are the ready tasks on ready nodes. Tasks on suspect nodes are endpoints only if there are no others.
 * Stopping and unhealthy tasks that still run are draining. In networks with static forwarding entries, the other
 * started tasks are inactive: names do not resolve to them, but hosts have to reach them. Endpoints are sorted by task
 * ID, so equal entries compare equal.
 */
export function dnsEntries(snapshot: ServiceSnapshot, context: DnsContext): readonly DnsEntry[] {
  const { service, spec } = snapshot;
  const attachments = spec.task?.networks ?? [];
  if (attachments.length === 0) return [];
  const started = snapshot.tasks.filter(hasStarted).sort((a, b) => (a.id < b.id ? -1 : 1));
  const shortName = spec.stack === "" ? spec.name : spec.name.slice(spec.stack.length + 1);
  return attachments.flatMap(({ network, aliases }) => {
    const networkId = context.networkIdOf(network);
    if (networkId === undefined) return [];
    const entry: DnsEntry = {
      key: dnsEntryKey(networkId, service.id),
      networkId,
      serviceId: service.id,
      serviceName: spec.name,
      stack: spec.stack,
      names: [...new Set([shortName, ...aliases])],
      vip: spec.endpointMode === EndpointMode.DNSRR ? "" : context.virtualIpIn(networkId),
      holdMs: context.holdMs,
      affinity: spec.traffic?.affinity ?? TrafficSpec_Affinity.UNSPECIFIED,
      ...classifyEndpoints(networkId, started, context),
    };
    return [entry];
  });
}

function classifyEndpoints(
  networkId: string,
  tasks: readonly Task[],
  context: DnsContext,
): Pick<DnsEntry, "endpoints" | "draining" | "inactive"> {
  const isStatic = context.hasStaticFdb(networkId);
  const ready: DnsEndpoint[] = [];
  const draining: DnsEndpoint[] = [];
  const notServing: DnsEndpoint[] = [];
  for (const task of tasks) {
    const endpoint = createEndpoint(task, networkId, isStatic);
    if (endpoint === undefined) continue;
    const isOnReadyNode = context.nodes.get(task.nodeId)?.node.state === NodeState.READY;
    const isRunning = isOnReadyNode && stateOf(task) === TaskState.RUNNING;
    const isStopping = task.desiredState >= DesiredState.SHUTDOWN;
    if (isRunning && (isStopping || isUnhealthy(task))) {
      draining.push(endpoint);
    } else if (isRunning && isReady(task)) {
      ready.push(endpoint);
    } else {
      notServing.push(endpoint);
    }
  }
  const trusted = ready.filter(({ nodeId }) => !context.isSuspect(nodeId));
  const endpoints = trusted.length > 0 ? trusted : ready;
  const suspect = ready.filter((endpoint) => !endpoints.includes(endpoint));
  return { endpoints, draining, inactive: isStatic ? [...notServing, ...suspect] : [] };
}

/** Returns the endpoint of a task, or undefined if the task has no address in the network yet. */
function createEndpoint(task: Task, networkId: string, isStatic: boolean): DnsEndpoint | undefined {
  const attachment = task.status?.addresses.find((address) => address.networkId === networkId);
  if (attachment === undefined || attachment.address === "") return undefined;
  const { id: taskId, nodeId, slot } = task;
  return {
    taskId,
    nodeId,
    address: attachment.address,
    slot,
    macAddress: isStatic ? attachment.macAddress : "",
  };
}

/** Returns whether the task's container may exist, even if its node is down. */
function hasStarted(task: Task): boolean {
  return stateOf(task) === TaskState.STARTING || stateOf(task) === TaskState.RUNNING;
}
