import type { TaskStatus } from "@berth/proto";
import type { TaskRecord } from "./task-record.js";

/** A task that has been said to be in networks, and the name servers that its service wants asked. */
export interface NetworkedTask {
  readonly status: TaskStatus;
  readonly dns: readonly string[];
}

/**
 * Tasks that name networks. One whose networks are not ready has no next step (`core/networks/task-networks.ts` says
 * what it waits for), and nothing but a change of these can give it one.
 */
export function* needingNetworks(records: Iterable<TaskRecord>): Generator<string> {
  for (const { taskId, assignment } of records) {
    if ((assignment?.spec.task?.networks.length ?? 0) > 0) yield taskId;
  }
}

export function* inNetworks(records: Iterable<TaskRecord>): Generator<NetworkedTask> {
  for (const { status, assignment } of records) {
    if (status === undefined || status.addresses.length === 0) continue;
    yield { status, dns: assignment?.spec.task?.container?.dns ?? [] };
  }
}
