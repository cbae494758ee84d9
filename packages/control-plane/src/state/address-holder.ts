import type { Task } from "@berth/proto";
import { occupiesNode } from "../core/scheduler/resource-request.js";
import type { ClusterState } from "./cluster-state.js";

/** A static address of a service in a network. */
export interface StaticAddress {
  readonly serviceId: string;
  /** Full name of the network. */
  readonly network: string;
  readonly address: string;
}

/**
 * Returns a task of another service that holds the address until the task has stopped. Returns undefined if the address
 * is free. Visits only the services with a stored version that has this address.
 */
export function findAddressHolder(
  { serviceId: ownId, network, address }: StaticAddress,
  { services, tasks }: Pick<ClusterState, "services" | "tasks">,
): Task | undefined {
  for (const { serviceId, version } of services.versions.withStaticAddress(network, address)) {
    if (serviceId === ownId) continue;
    for (const task of tasks.ofService(serviceId).values()) {
      if (task.specVersion === version && occupiesNode(task)) return task;
    }
  }
  return undefined;
}
