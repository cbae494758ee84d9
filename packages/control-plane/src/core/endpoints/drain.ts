import { type Node, NodeState, PortSpec_Mode, type ServiceSpec, type Task } from "@berth/proto";
import { isReady } from "../model/task-state.js";

/** Maximum time to wait for acknowledgements before a task is stopped. Most agents respond within 50 ms. */
export const DRAIN_DEADLINE_MS = 1_000;

/** The drain of a task: the leader delays the stop while other nodes may still send connections to the task. */
export interface Drain {
  /** Time when the drain began. */
  readonly sinceMs: number;
  /** First version of the ingress and DNS tables without the task. Undefined until they have been computed. */
  readonly version: number | undefined;
}

/** Returns the table version that all awaited nodes have applied. Infinity when no node is awaited. */
export function lowestAppliedVersion(versions: Iterable<number>): number {
  let lowest = Number.POSITIVE_INFINITY;
  for (const version of versions) lowest = Math.min(lowest, version);
  return lowest;
}

/** Returns the IDs of the tasks that may be stopped: no applied table contains them, or their deadline has passed. */
export function completedDrains(
  drains: ReadonlyMap<string, Drain>,
  { appliedVersion, nowMs }: { readonly appliedVersion: number; readonly nowMs: number },
): readonly string[] {
  const completed: string[] = [];
  for (const [taskId, { sinceMs, version }] of drains) {
    const isOutOfTables = version !== undefined && version <= appliedVersion;
    if (isOutOfTables || nowMs - sinceMs >= DRAIN_DEADLINE_MS) completed.push(taskId);
  }
  return completed;
}

/** Returns the earliest deadline of the drains, in ms, or undefined if there are no drains. */
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
 * Returns the IDs of the nodes whose acknowledgement is awaited before a task stops: all nodes that can respond.
 *
 * Includes nodes that have just joined, because their tables may be outdated.
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
