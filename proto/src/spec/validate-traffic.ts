import { type ServiceSpec, TrafficSpec_Affinity, TrafficSpec_Balance } from "../../gen/berth/v1/spec.js";
import type { Report } from "./violation.js";

/** Checks how connections reach a service's tasks. */
export function validateTraffic({ traffic }: ServiceSpec, report: Report): void {
  const isBound = traffic?.affinity === TrafficSpec_Affinity.SOURCE;
  if (isBound && traffic.balance === TrafficSpec_Balance.LEAST_CONNECTIONS) {
    report(
      "traffic.balance",
      "a client that always goes to the same task cannot go to the one with the fewest connections: leave one of affinity and balance out",
    );
  }
}
