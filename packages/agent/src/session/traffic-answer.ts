import type { ServiceTraffic, TaskTraffic } from "@berth/proto";
import type { IngressStats, ListenerStats } from "../ingress/table.js";

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
