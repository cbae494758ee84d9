import type { EndpointStats, IngressListener, ListenerStats } from "../table.js";
import { listenerKey } from "../table.js";
import { endpointElement } from "./layout.js";
import type { KernelStatistics } from "./statistics.js";
import { kernelEndpoint } from "./wanted.js";

/**
 * What the process counted and what the kernel counted, together. An endpoint that two ports lead to counts at the
 * first of them: the kernel does not tell by which door a connection came.
 */
export function addStatistics(
  stats: readonly ListenerStats[],
  listeners: Iterable<IngressListener>,
  { endpoints: counted }: KernelStatistics,
): readonly ListenerStats[] {
  const listenerOf = new Map([...listeners].map((listener) => [listenerKey(listener), listener]));
  const seen = new Set<string>();
  return stats.map((listener) => {
    const { endpoints = [], draining = [] } = listenerOf.get(listenerKey(listener)) ?? {};
    const elements = new Map<string, string>();
    for (const endpoint of [...endpoints, ...draining]) {
      const reached = kernelEndpoint(endpoint);
      if (reached !== undefined) elements.set(endpoint.id, endpointElement(listener.protocol, reached));
    }
    let [total, active, retried] = [0, 0, 0];
    const together = listener.endpoints.map((endpoint): EndpointStats => {
      const element = elements.get(endpoint.id) ?? "";
      const counts = seen.has(element) ? undefined : counted.get(element);
      if (counts === undefined) return endpoint;
      seen.add(element);
      total += counts.total;
      active += counts.active;
      retried += counts.refused;
      return {
        ...endpoint,
        total: endpoint.total + counts.total,
        active: endpoint.active + counts.active,
        failed: endpoint.failed + counts.refused,
      };
    });
    return {
      ...listener,
      total: listener.total + total,
      active: listener.active + active,
      retried: listener.retried + retried,
      endpoints: together,
    };
  });
}
