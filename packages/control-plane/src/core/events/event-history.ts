import type { Node, Service, Task } from "@berth/proto";
import type { Happening } from "./event.js";
import { lastEventOfNode } from "./event-of-node.js";
import { pastEventsOfService } from "./event-of-service.js";
import { lastEventOfTask } from "./event-of-task.js";

export interface Records {
  readonly services: Iterable<Service>;
  readonly tasks: Iterable<Task>;
  readonly nodes: Iterable<Node>;
  readonly nodeOf: (nodeId: string) => Node | undefined;
}

/**
 * The newest events that the records still tell of, oldest first: the last of each task and node, and the milestones of
 * each service. What lies between was known to an earlier leader alone.
 */
export function pastEvents({ services, tasks, nodes, nodeOf }: Records, limit: number): readonly Happening[] {
  const events: Happening[] = [];
  for (const service of services) events.push(...pastEventsOfService(service));
  for (const node of nodes) {
    const event = lastEventOfNode(node);
    if (event !== undefined) events.push(event);
  }
  for (const task of newest([...tasks], limit)) {
    const event = lastEventOfTask(task, { nodeOf });
    if (event !== undefined) events.push(event);
  }
  const known = events.filter(({ timeMs }) => timeMs > 0);
  return known.sort((a, b) => a.timeMs - b.timeMs).slice(-limit);
}

/** Of a hundred thousand tasks only times are sorted. */
function newest(tasks: readonly Task[], limit: number): readonly Task[] {
  if (tasks.length <= limit) return tasks;
  const times = new Float64Array(tasks.length);
  tasks.forEach((task, index) => {
    times[index] = timeOf(task);
  });
  times.sort();
  const oldestMs = times[times.length - limit] ?? 0;
  return tasks.filter((task) => timeOf(task) >= oldestMs);
}

const timeOf = ({ status, createdAtMs }: Task): number => status?.sinceMs || createdAtMs;
