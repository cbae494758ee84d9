import type { Balancer } from "../balancing/balancer.js";
import type { IngressListener, ListenerStats } from "../table/ingress-table.js";

/** Counters of one listener since it was opened. */
export interface ListenerCounters {
  total: number;
  active: number;
  failed: number;
  retried: number;
}

export function newCounters(): ListenerCounters {
  return { total: 0, active: 0, failed: 0, retried: 0 };
}

export function listenerStats(
  { protocol, address, port, service, stack = "" }: IngressListener,
  counters: Readonly<ListenerCounters>,
  balanced: ReturnType<Balancer["stats"]>,
): ListenerStats {
  return { protocol, address, port, service, stack, ...counters, ...balanced };
}
