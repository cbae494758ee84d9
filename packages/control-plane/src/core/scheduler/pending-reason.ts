import type { Task } from "@berth/proto";

/** Prefix of the status message of a task that is not placed yet because it waits for something else. */
export const WAITING_FOR = "waiting for ";

/** Returns why a task has no node, for the user. */
export function pendingReason({ status }: Task): string {
  const message = status?.message || "not placed yet";
  return message.startsWith(WAITING_FOR) ? message : `no suitable node: ${message}`;
}
