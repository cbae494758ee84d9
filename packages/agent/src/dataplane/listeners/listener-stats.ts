import type { Balancer } from "../balancing/balancer.js";
import type { IngressListener, ListenerStats } from "../table/ingress-table.js";
import { type HeldCounts, NO_HELD_CLIENTS } from "./hold-queue.js";

/** Counters of one listener since it was opened. */
export interface ListenerCounters {
  total: number;
  active: number;
  failed: number;
  retried: number;
}

/** Returns counters that start at 0. */
export function newCounters(): ListenerCounters {
  return { total: 0, active: 0, failed: 0, retried: 0 };
}

/** Combines the counters of a listener and of its balancer. */
export function combineStats(
  { protocol, address, port, service, stack = "" }: IngressListener,
  counters: Readonly<ListenerCounters>,
  balancerStats: ReturnType<Balancer["stats"]>,
  heldClients: HeldCounts = NO_HELD_CLIENTS,
): ListenerStats {
  return { protocol, address, port, service, stack, ...counters, ...balancerStats, ...heldClients };
}
