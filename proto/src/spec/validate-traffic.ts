import { type ServiceSpec, TrafficSpec_Affinity, TrafficSpec_Balance } from "../../gen/berth/v1/spec.js";
import type { Report } from "./violation.js";

/** Checks how connections are distributed to the tasks of a service. */
export function validateTraffic({ traffic }: ServiceSpec, report: Report): void {
  const hasSourceAffinity = traffic?.affinity === TrafficSpec_Affinity.SOURCE;
  if (hasSourceAffinity && traffic.balance === TrafficSpec_Balance.LEAST_CONNECTIONS) {
    report("traffic.balance", "affinity source and balance least-connections cannot be combined");
  }
}
