import { type Node, NodeState, PortSpec_Mode, type ServiceSpec, type Task } from "@berth/proto";
import { isReady } from "../model/task-state.js";

/** Longest time to wait for acknowledgements before a task is stopped. Most agents answer within 50 ms. */
export const DRAIN_DEADLINE_MS = 1_000;

/** A task that is to stop. Its agent does not get the request yet, because other nodes may still send it connections. */
export interface Drain {
  readonly sinceMs: number;
  /** First version of the tables without the task. Undefined until these tables have been computed. */
  readonly version: number | undefined;
}

/** Returns the table version that all awaited nodes have in force. Infinity when no node is awaited. */
export function lowestVersionInForce(versions: Iterable<number>): number {
  let lowest = Number.POSITIVE_INFINITY;
  for (const version of versions) lowest = Math.min(lowest, version);
  return lowest;
}

/** Returns the ids of the tasks that may be stopped: no table in force contains them, or the deadline has passed. */
export function completedDrains(
  drains: ReadonlyMap<string, Drain>,
  { inForce, now }: { readonly inForce: number; readonly now: number },
): readonly string[] {
  const completed: string[] = [];
  for (const [taskId, { sinceMs, version }] of drains) {
    const isOutOfTables = version !== undefined && version <= inForce;
    if (isOutOfTables || now - sinceMs >= DRAIN_DEADLINE_MS) completed.push(taskId);
  }
  return completed;
}

/** Returns the earliest deadline. Undefined when no task drains. */
export function nextDeadlineMs(drains: ReadonlyMap<string, Drain>): number | undefined {
  let earliestMs: number | undefined;
  for (const { sinceMs } of drains.values()) earliestMs = Math.min(earliestMs ?? sinceMs, sinceMs);
  return earliestMs === undefined ? undefined : earliestMs + DRAIN_DEADLINE_MS;
}

/** Returns whether other nodes may send the task connections: through a published port or a network. */
export function receivesConnections(task: Task, { ports, task: template }: ServiceSpec): boolean {
  const isPublished = ports.some(({ mode, published }) => mode !== PortSpec_Mode.HOST && published !== 0);
  return isReady(task) && (isPublished || (template?.networks.length ?? 0) > 0);
}

/**
 * Returns the ids of the nodes to wait for before a task is stopped: those that send connections and are able to answer.
 *
 * A node that joins is included at once, since its tables may be from an earlier time.
 */
export function nodesToAwait(
  nodes: Iterable<Node>,
  isSuspect: (nodeId: string) => boolean,
): readonly string[] {
  const ids: string[] = [];
  for (const { id, state, agentUnreachable } of nodes) {
    if (state === NodeState.READY && !agentUnreachable && !isSuspect(id)) ids.push(id);
  }
  return ids;
}
