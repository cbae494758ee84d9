import type {
  ListenerTraffic,
  ServiceTraffic,
  TaskTraffic,
  TrafficReport,
  TrafficRequest,
} from "@berth/proto";
import { type IngressStats, type ListenerStats, listenerName } from "../dataplane/table/ingress-table.js";

/** Maximum number of concurrent requests. Each makes the ingress process read the kernel's counters. */
const MAX_CONCURRENT_REQUESTS = 8;
/** Maximum number of listeners in a report. */
const MAX_LISTENERS = 5_000;

type ReadStats = () => Promise<Pick<IngressStats, "listeners" | "vips" | "version">>;

/** Answers the leader's requests for traffic figures. */
export class TrafficReporter {
  readonly #readStats: ReadStats;
  #running = 0;

  constructor(readStats: ReadStats) {
    this.#readStats = readStats;
  }

  /** Returns undefined if too many requests are running, or if the figures cannot be read. */
  async answer(request: TrafficRequest): Promise<TrafficReport | undefined> {
    if (this.#running >= MAX_CONCURRENT_REQUESTS) return undefined;
    this.#running += 1;
    try {
      return trafficReport(await this.#readStats(), request);
    } catch {
      return undefined;
    } finally {
      this.#running -= 1;
    }
  }
}

/** Builds the report on one service, or on all listeners when the request names none. */
export function trafficReport(
  stats: Pick<IngressStats, "listeners" | "vips" | "version">,
  { requestId, serviceName }: TrafficRequest,
): TrafficReport {
  if (serviceName !== "") {
    const traffic = serviceTraffic(stats, serviceName);
    return { requestId, traffic, listeners: [], tableVersion: 0, partial: false };
  }
  const active = listenerTraffic(stats);
  return {
    requestId,
    traffic: undefined,
    listeners: active.slice(0, MAX_LISTENERS),
    tableVersion: stats.version,
    partial: active.length > MAX_LISTENERS,
  };
}

/** Sums up the traffic of a service's published ports on this host. Returns undefined if the service publishes none. */
export function serviceTraffic(
  { listeners }: Pick<IngressStats, "listeners">,
  serviceName: string,
): ServiceTraffic | undefined {
  const published = listeners.filter(({ service }) => service === serviceName);
  if (published.length === 0) return undefined;
  const sum = (counterOf: (listener: ListenerStats) => number): number =>
    published.reduce((total, listener) => total + counterOf(listener), 0);
  return {
    connections: sum(({ total }) => total),
    active: sum(({ active }) => active),
    failed: sum(({ failed }) => failed),
    retried: sum(({ retried }) => retried),
    held: sum(({ held }) => held),
    heldTotal: sum(({ heldTotal }) => heldTotal),
    tasks: taskTraffic(published),
  };
}

/** Returns the traffic of each published port and virtual IP that has had any. */
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

function taskTraffic(listeners: readonly ListenerStats[]): TaskTraffic[] {
  const tasks = new Map<string, TaskTraffic>();
  for (const { id, state, total, active, failed } of listeners.flatMap(({ endpoints }) => endpoints)) {
    const task = tasks.get(id);
    tasks.set(id, {
      taskId: id,
      connections: total + (task?.connections ?? 0),
      active: active + (task?.active ?? 0),
      failed: failed + (task?.failed ?? 0),
      ejected: state === "ejected" || (task?.ejected ?? false),
      draining: state === "draining" || (task?.draining ?? false),
    });
  }
  return [...tasks.values()].sort((left, right) => (left.taskId < right.taskId ? -1 : 1));
}
