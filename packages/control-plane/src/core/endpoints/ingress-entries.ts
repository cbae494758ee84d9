import {
  DesiredState,
  type HostPort,
  type IngressEndpoint,
  type IngressEntry,
  NodeState,
  type PortSpec,
  PortSpec_Mode,
  PortSpec_Protocol,
  type Task,
  TaskState,
} from "@berth/proto";
import type { ClusterSnapshot, ServiceSnapshot } from "../model/snapshot.js";
import { isReady, isUnhealthy, stateOf } from "../model/task-state.js";
import { type CurrentTaskFilter, currentTaskFilter } from "../model/template.js";
import { holdDurationMs } from "./hold-duration.js";

/** The state of the nodes that endpoints depend on. */
export interface EndpointContext {
  readonly nodes: ClusterSnapshot["nodes"];
  readonly isSuspect: (nodeId: string) => boolean;
}

/**
 * Returns one entry per published ingress port of a service, including ports without endpoints. The ingress of each node
 * balances connections over them.
 *
 * Endpoints are ready tasks on ready nodes. Draining endpoints keep their connections but get no new ones: tasks that
 * are to stop and still run, unhealthy tasks, and tasks on suspect nodes. If all nodes are suspect, their tasks stay
 * endpoints, since some may still answer. UDP flows move away from unhealthy tasks and suspect nodes at once. Endpoints are
 * sorted by task ID, so equal tables compare equal.
 */
export function ingressEntries(
  snapshot: ServiceSnapshot,
  { nodes, isSuspect }: EndpointContext,
): readonly IngressEntry[] {
  const ports = snapshot.spec.ports.filter(
    (port) => port.mode !== PortSpec_Mode.HOST && port.published !== 0,
  );
  if (ports.length === 0) return [];
  const tasks = snapshot.tasks
    .filter((task) => stateOf(task) === TaskState.RUNNING)
    .sort((a, b) => (a.id < b.id ? -1 : 1));
  const context: ServiceContext = {
    snapshot,
    isCurrent: currentTaskFilter(snapshot.service),
    nodes,
    isSuspect,
    holdMs: holdDurationMs(snapshot),
  };
  return ports.map((port) => createEntry(port, tasks, context));
}

/** Returns the key of an ingress port: `<protocol>/<host ip>/<published port>`. */
export function ingressKey(port: PortSpec): string {
  const protocol = port.protocol === PortSpec_Protocol.UDP ? "udp" : "tcp";
  return `${protocol}/${port.hostIp}/${port.published}`;
}

interface ServiceContext extends EndpointContext {
  readonly snapshot: ServiceSnapshot;
  readonly isCurrent: CurrentTaskFilter;
  readonly holdMs: number;
}

function createEntry(port: PortSpec, tasks: readonly Task[], context: ServiceContext): IngressEntry {
  const ready: IngressEndpoint[] = [];
  const stopping: IngressEndpoint[] = [];
  const unhealthy: IngressEndpoint[] = [];
  for (const task of tasks) {
    const endpoint = createEndpoint(port, task, context);
    if (endpoint === undefined) continue;
    if (task.desiredState >= DesiredState.SHUTDOWN) {
      stopping.push(endpoint);
    } else if (isReady(task)) {
      ready.push(endpoint);
    } else if (isUnhealthy(task)) {
      unhealthy.push(endpoint);
    }
  }
  const { name, stack, traffic } = context.snapshot.spec;
  const suspect = ready.filter(({ nodeId }) => context.isSuspect(nodeId));
  const trusted = ready.filter(({ nodeId }) => !context.isSuspect(nodeId));
  const isUdp = port.protocol === PortSpec_Protocol.UDP;
  return {
    key: ingressKey(port),
    serviceName: name,
    stack,
    protocol: port.protocol,
    hostIp: port.hostIp,
    published: port.published,
    holdMs: isUdp ? 0 : context.holdMs,
    endpoints: trusted.length > 0 ? trusted : ready,
    ...(traffic && { traffic }),
    draining: isUdp ? stopping : [...stopping, ...unhealthy, ...(trusted.length > 0 ? suspect : [])],
  };
}

/** Returns the endpoint of a task for a port, or undefined if the task cannot be reached on this port. */
function createEndpoint(port: PortSpec, task: Task, context: ServiceContext): IngressEndpoint | undefined {
  const node = context.nodes.get(task.nodeId)?.node;
  if (node?.state !== NodeState.READY) return undefined;
  const target = findTargetPort(port, task, context);
  const hostPort = task.status?.ports.find((mapping) => isMappingFor(mapping, port, target))?.hostPort ?? 0;
  if (hostPort === 0) return undefined;
  return { taskId: task.id, nodeId: node.id, address: node.description?.address ?? "", port: hostPort };
}

/**
 * Returns the container port of a task behind a published port.
 *
 * An update or a rollback may change the container port of a published port. Tasks of other templates still listen on
 * the container port of their version.
 */
function findTargetPort(port: PortSpec, task: Task, { snapshot, isCurrent }: ServiceContext): number {
  if (isCurrent(task)) return port.target;
  const key = ingressKey(port);
  const taskPorts = snapshot.revisions.get(task.specVersion)?.ports ?? [];
  return taskPorts.find((other) => ingressKey(other) === key)?.target ?? port.target;
}

/** Returns whether a mapping of Docker publishes the container port `target` with the protocol of `port`. */
function isMappingFor(mapping: HostPort, port: PortSpec, target: number): boolean {
  return (
    mapping.target === target &&
    (mapping.protocol || PortSpec_Protocol.TCP) === (port.protocol || PortSpec_Protocol.TCP)
  );
}
