import type { Task } from "@berth/proto";

/** Prefix of the status message of a task that is not placed yet because it waits for something else. */
export const WAITING_FOR = "waiting for ";

/** Returns whether a task without a node waits for something else than a suitable node. */
export function isWaiting({ status }: Task): boolean {
  return status?.message.startsWith(WAITING_FOR) ?? false;
}

/** Returns why a task has no node, for the user. */
export function pendingReason(task: Task): string {
  const message = task.status?.message || "not placed yet";
  return isWaiting(task) ? message : `no suitable node: ${message}`;
}
