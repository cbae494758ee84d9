import type { Task } from "@berth/proto";
import { occupiesNode } from "../core/scheduler/resource-request.js";
import type { ClusterState } from "./cluster-state.js";

/** A static address of a service in the network with that name. */
export interface ChosenAddress {
  readonly serviceId: string;
  readonly network: string;
  readonly address: string;
}

/**
 * Returns a task of another service, of any version, that holds the address until it has stopped. Visits only the
 * services with a stored version that has this address.
 */
export function findAddressHolder(
  { serviceId: ownId, network, address }: ChosenAddress,
  { services, tasks }: Pick<ClusterState, "services" | "tasks">,
): Task | undefined {
  for (const { serviceId, version } of services.withFixedAddress(network, address)) {
    if (serviceId === ownId) continue;
    for (const task of tasks.ofService(serviceId).values()) {
      if (task.specVersion === version && occupiesNode(task)) return task;
    }
  }
  return undefined;
}
