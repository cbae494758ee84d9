import type { Task } from "@berth/proto";

/** Prefix of the status message of an unplaced task that waits for something other than a suitable node. */
export const WAITING_FOR = "waiting for ";

/** Returns whether an unplaced task waits for something other than a suitable node. */
export function isWaiting({ status }: Task): boolean {
  return status?.message.startsWith(WAITING_FOR) ?? false;
}

/** Returns why a task has no node, for the user. */
export function pendingReason(task: Task): string {
  const message = task.status?.message || "not placed yet";
  return isWaiting(task) ? message : `no suitable node: ${message}`;
}
