import { type Node, NodeState, PortSpec_Mode, type ServiceSpec, type Task } from "@berth/proto";
import { isReady } from "../model/task-state.js";

/** An agent that has not answered by then is not waited for any longer; most answer within 50 ms. */
export const DRAIN_DEADLINE_MS = 1_000;

/** A task that is to stop, and is not told so yet: hosts may still send it connections. */
export interface Drain {
  readonly sinceMs: number;
  /** The tables without it; undefined while they have not been worked out. */
  readonly version: number | undefined;
}

/** The version of the tables that is in force on every host that is waited for. Infinity: nobody is waited for. */
export function lowestVersionInForce(versions: Iterable<number>): number {
  let lowest = Number.POSITIVE_INFINITY;
  for (const version of versions) lowest = Math.min(lowest, version);
  return lowest;
}

/** Ids of the tasks that may be told to stop: out of every table that counts, or waited for long enough. */
export function completedDrains(
  drains: ReadonlyMap<string, Drain>,
  { inForce, now }: { readonly inForce: number; readonly now: number },
): readonly string[] {
  const open: string[] = [];
  for (const [taskId, { sinceMs, version }] of drains) {
    const isOut = version !== undefined && version <= inForce;
    if (isOut || now - sinceMs >= DRAIN_DEADLINE_MS) open.push(taskId);
  }
  return open;
}

/** When the first of them has been waited for long enough; undefined: there are none. */
export function nextDeadlineMs(drains: ReadonlyMap<string, Drain>): number | undefined {
  let earliest: number | undefined;
  for (const { sinceMs } of drains.values()) earliest = Math.min(earliest ?? sinceMs, sinceMs);
  return earliest === undefined ? undefined : earliest + DRAIN_DEADLINE_MS;
}

/** Hosts other than the task's own may send it connections: through a published port, or by a name in a network. */
export function receivesConnections(task: Task, { ports, task: template }: ServiceSpec): boolean {
  const isPublished = ports.some(({ mode, published }) => mode !== PortSpec_Mode.HOST && published !== 0);
  return isReady(task) && (isPublished || (template?.networks.length ?? 0) > 0);
}

/**
 * Ids of the nodes whose word counts before a task is stopped: those that may send it connections and can be expected
 * to answer. A node that joins is one of them from the start, since its tables are of another time.
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
