import { type ServiceSpec, TrafficSpec_Affinity, TrafficSpec_Balance } from "../../gen/berth/v1/spec.js";
import type { Report } from "./violation.js";

/**
 * Longest time to hold a connection. Clients and proxies close connections that have not been answered for this long.
 */
const MAX_HOLD_MS = 5 * 60_000;

/** Checks how connections are distributed to the tasks of a service. */
export function validateTraffic({ traffic }: ServiceSpec, report: Report): void {
  const hasSourceAffinity = traffic?.affinity === TrafficSpec_Affinity.SOURCE;
  if (hasSourceAffinity && traffic.balance === TrafficSpec_Balance.LEAST_CONNECTIONS) {
    report("traffic.balance", "affinity source and balance least-connections cannot be combined");
  }
  const holdMs = traffic?.holdMs ?? 0;
  if (holdMs < 0 || holdMs > MAX_HOLD_MS) report("traffic.hold_ms", "must be between 0 and 5 minutes");
}
