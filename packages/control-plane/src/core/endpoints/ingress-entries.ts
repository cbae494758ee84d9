import {
  DesiredState,
  type HostPort,
  type IngressEndpoint,
  type IngressEntry,
  NodeState,
  type PortSpec,
  PortSpec_Mode,
  PortSpec_Protocol,
  type ServiceSpec,
  type Task,
  TaskState,
} from "@berth/proto";
import type { ClusterSnapshot, ServiceSnapshot } from "../model/snapshot.js";
import { isReady, stateOf } from "../model/task-state.js";

export interface EndpointSources {
  readonly nodes: ClusterSnapshot["nodes"];
  /** The spec of an older version of the service, whose tasks may still serve; undefined when it is forgotten. */
  readonly specOf: (version: number) => ServiceSpec | undefined;
  /** Nodes that fell silent a moment ago, and may be dead. */
  readonly isSuspect: (nodeId: string) => boolean;
}

/**
 * Where connections to the published ports of a service go: one entry per port of ingress mode, also when nothing
 * answers it. Endpoints are tasks that run well on a live node; draining are those that were told to stop and still
 * run. Suspect nodes get no new connections, unless there are no others: one that may be answered is better than none.
 * Those that they have live on until the node is down; flows of datagrams, which nobody would miss, move at once.
 * Ordered by task id, so that equal tables are equal.
 */
export function ingressEntries(view: ServiceSnapshot, sources: EndpointSources): readonly IngressEntry[] {
  const ports = view.spec.ports.filter((port) => port.mode !== PortSpec_Mode.HOST && port.published !== 0);
  if (ports.length === 0) return [];
  const tasks = view.tasks.filter(mayServe).sort((a, b) => (a.id < b.id ? -1 : 1));
  return ports.map((port) => entryFor(port, tasks, { view, ...sources }));
}

/** `tcp/<host_ip>/<published>`. */
export function ingressKey(port: PortSpec): string {
  const protocol = port.protocol === PortSpec_Protocol.UDP ? "udp" : "tcp";
  return `${protocol}/${port.hostIp}/${port.published}`;
}

const mayServe = (task: Task): boolean => stateOf(task) === TaskState.RUNNING;

function entryFor(
  port: PortSpec,
  tasks: readonly Task[],
  sources: EndpointSources & { readonly view: ServiceSnapshot },
): IngressEntry {
  const endpoints: IngressEndpoint[] = [];
  const draining: IngressEndpoint[] = [];
  for (const task of tasks) {
    const endpoint = endpointOf(port, task, sources);
    if (endpoint === undefined) continue;
    if (task.desiredState >= DesiredState.SHUTDOWN) draining.push(endpoint);
    else if (isReady(task)) endpoints.push(endpoint);
  }
  const isUdp = port.protocol === PortSpec_Protocol.UDP;
  const suspect = endpoints.filter(({ nodeId }) => sources.isSuspect(nodeId));
  const trusted = endpoints.filter(({ nodeId }) => !sources.isSuspect(nodeId));
  return {
    key: ingressKey(port),
    serviceName: sources.view.spec.name,
    stack: sources.view.spec.stack,
    protocol: port.protocol,
    hostIp: port.hostIp,
    published: port.published,
    endpoints: trusted.length > 0 ? trusted : endpoints,
    ...(sources.view.spec.traffic && { traffic: sources.view.spec.traffic }),
    draining: [...draining, ...(trusted.length > 0 && !isUdp ? suspect : [])],
  };
}

function endpointOf(
  port: PortSpec,
  task: Task,
  sources: EndpointSources & { readonly view: ServiceSnapshot },
): IngressEndpoint | undefined {
  const node = sources.nodes.get(task.nodeId)?.node;
  if (node?.state !== NodeState.READY) return undefined;
  const target = targetFor(port, task, sources);
  const hostPort = task.status?.ports.find((one) => answers(one, port, target))?.hostPort ?? 0;
  if (hostPort === 0) return undefined;
  return { taskId: task.id, nodeId: node.id, address: node.description?.address ?? "", port: hostPort };
}

/** While an update moves a published port to another target, older tasks still answer on theirs. */
function targetFor(
  port: PortSpec,
  task: Task,
  { view, specOf }: EndpointSources & { readonly view: ServiceSnapshot },
): number {
  if (task.specVersion >= view.service.templateVersion) return port.target;
  const key = ingressKey(port);
  const older = specOf(task.specVersion)?.ports.find((one) => ingressKey(one) === key);
  return older?.target ?? port.target;
}

const answers = (open: HostPort, port: PortSpec, target: number): boolean =>
  open.target === target &&
  (open.protocol || PortSpec_Protocol.TCP) === (port.protocol || PortSpec_Protocol.TCP);
