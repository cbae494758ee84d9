import type {
  ListenerTraffic,
  ServiceTraffic,
  TaskTraffic,
  TrafficReport,
  TrafficRequest,
} from "@berth/proto";
import { type IngressStats, type ListenerStats, listenerName } from "../dataplane/table/ingress-table.js";

/** As many as one answer has room for. */
const MAX_LISTENERS = 5_000;

/** To a question after one service, or after all of them. */
export function trafficReport(
  stats: Pick<IngressStats, "listeners" | "vips" | "version">,
  { requestId, serviceName }: TrafficRequest,
): TrafficReport {
  if (serviceName !== "") {
    const traffic = serviceTraffic(stats, serviceName);
    return { requestId, traffic, listeners: [], tableVersion: 0, partial: false };
  }
  const used = listenerTraffic(stats);
  return {
    requestId,
    traffic: undefined,
    listeners: used.slice(0, MAX_LISTENERS),
    tableVersion: stats.version,
    partial: used.length > MAX_LISTENERS,
  };
}

/** What this host's ingress does for a service, all of its ports together; undefined: it publishes none. */
export function serviceTraffic(
  { listeners }: Pick<IngressStats, "listeners">,
  serviceName: string,
): ServiceTraffic | undefined {
  const own = listeners.filter(({ service }) => service === serviceName);
  if (own.length === 0) return undefined;
  const sum = (of: (listener: ListenerStats) => number): number =>
    own.reduce((total, listener) => total + of(listener), 0);
  return {
    connections: sum(({ total }) => total),
    active: sum(({ active }) => active),
    failed: sum(({ failed }) => failed),
    retried: sum(({ retried }) => retried),
    tasks: tasksOf(own),
  };
}

/** What this host has done for each published port and each virtual IP that anything has come to. */
export function listenerTraffic({
  listeners,
  vips,
}: Pick<IngressStats, "listeners" | "vips">): ListenerTraffic[] {
  const ports = listeners.map((listener): ListenerTraffic => {
    const { service, stack, total, active, failed, retried, ejections } = listener;
    const name = { serviceName: service, stack, port: listenerName(listener), network: "" };
    return { ...name, connections: total, active, failed, retried, ejections };
  });
  const addresses = vips.map(({ service, stack, network, connections }): ListenerTraffic => {
    const name = { serviceName: service, stack, port: "", network };
    return { ...name, connections, active: 0, failed: 0, retried: 0, ejections: 0 };
  });
  const isUsed = ({ connections, ejections }: ListenerTraffic): boolean => connections + ejections > 0;
  return [...ports, ...addresses].filter(isUsed);
}

function tasksOf(listeners: readonly ListenerStats[]): TaskTraffic[] {
  const tasks = new Map<string, TaskTraffic>();
  for (const { id, state, total, active, failed } of listeners.flatMap(({ endpoints }) => endpoints)) {
    const known = tasks.get(id);
    tasks.set(id, {
      taskId: id,
      connections: total + (known?.connections ?? 0),
      active: active + (known?.active ?? 0),
      failed: failed + (known?.failed ?? 0),
      ejected: state === "ejected" || (known?.ejected ?? false),
      draining: state === "draining" || (known?.draining ?? false),
    });
  }
  return [...tasks.values()].sort((left, right) => (left.taskId < right.taskId ? -1 : 1));
}
