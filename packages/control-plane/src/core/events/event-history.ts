import type { Node, Service, Task } from "@berth/proto";
import type { EventRecord } from "./event.js";
import { lastNodeEvent } from "./node-events.js";
import { pastServiceEvents } from "./service-events.js";
import { lastTaskEvent } from "./task-events.js";

/** The records from which past events are reconstructed. */
export interface EventSources {
  readonly services: Iterable<Service>;
  readonly tasks: Iterable<Task>;
  readonly nodes: Iterable<Node>;
  readonly nodeOf: (nodeId: string) => Node | undefined;
}

/**
 * Reconstructs the newest `limit` events from the records, oldest first. A new leader starts its event log with them.
 *
 * Finds the last event of each task and node, and the milestones of each service. Other events are lost with the leader
 * that recorded them.
 */
export function pastEvents(
  { services, tasks, nodes, nodeOf }: EventSources,
  limit: number,
): readonly EventRecord[] {
  if (limit <= 0) return [];
  const events: EventRecord[] = [];
  for (const service of services) events.push(...pastServiceEvents(service));
  for (const node of nodes) {
    const event = lastNodeEvent(node);
    if (event !== undefined) events.push(event);
  }
  for (const task of newestTasks([...tasks], limit)) {
    const event = lastTaskEvent(task, { nodeOf });
    if (event !== undefined) events.push(event);
  }
  const dated = events.filter(({ timeMs }) => timeMs > 0);
  return dated.sort((a, b) => a.timeMs - b.timeMs).slice(-limit);
}

/** Returns the newest tasks, at least `limit`. Only sorts their times, because there may be 100,000 tasks. */
function newestTasks(tasks: readonly Task[], limit: number): readonly Task[] {
  if (tasks.length <= limit) return tasks;
  const times = new Float64Array(tasks.length);
  tasks.forEach((task, index) => {
    times[index] = lastChangeMs(task);
  });
  times.sort();
  const oldestMs = times[times.length - limit] ?? 0;
  return tasks.filter((task) => lastChangeMs(task) >= oldestMs);
}

function lastChangeMs({ status, createdAtMs }: Task): number {
  return status?.sinceMs || createdAtMs;
}
