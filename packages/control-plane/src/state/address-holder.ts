import type { Task } from "@berth/proto";
import { occupiesNode } from "../core/scheduler/resource-request.js";
import type { ClusterState } from "./cluster-state.js";

/** An address that a service chooses in the network of that name. */
export interface ChosenAddress {
  readonly serviceId: string;
  readonly network: string;
  readonly address: string;
}

/**
 * A task of another service, of whatever version, which has the address until it has stopped. Costs what the services
 * cost that have ever chosen it.
 */
export function findAddressHolder(
  { serviceId: own, network, address }: ChosenAddress,
  { services, tasks }: Pick<ClusterState, "services" | "tasks">,
): Task | undefined {
  for (const { serviceId, version } of services.withFixedAddress(network, address)) {
    if (serviceId === own) continue;
    for (const task of tasks.ofService(serviceId).values()) {
      if (task.specVersion === version && occupiesNode(task)) return task;
    }
  }
  return undefined;
}
