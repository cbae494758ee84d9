import type { Task } from "@berth/proto";

/** How the message of a task begins that looks for no node yet, as something else is to happen first. */
export const WAITING_FOR = "waiting for ";

/** Why a task has no node, for a person. */
export function pendingReason({ status }: Task): string {
  const message = status?.message || "not placed yet";
  return message.startsWith(WAITING_FOR) ? message : `no node for it: ${message}`;
}
