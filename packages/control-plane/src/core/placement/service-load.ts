import type { Task } from "@berth/proto";
import { nodesToAvoid } from "./avoidance.js";
import { occupies } from "./occupancy.js";
import type { ServiceLoad } from "./schedule.js";

/** How a service sits on its nodes, when of its tasks these will stay. */
export function loadOf(
  tasks: readonly Task[],
  staying: readonly Task[],
  at: { readonly isCurrent: (task: Task) => boolean; readonly now: number },
): ServiceLoad {
  return {
    staying: countByNode(staying),
    held: countByNode(tasks.filter(occupies)),
    avoid: nodesToAvoid(tasks, at),
  };
}

function countByNode(tasks: readonly Task[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { nodeId } of tasks) counts.set(nodeId, (counts.get(nodeId) ?? 0) + 1);
  return counts;
}
