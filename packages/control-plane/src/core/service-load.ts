import type { Task } from "@berth/proto";
import { occupies } from "./occupancy.js";
import type { ServiceLoad } from "./schedule.js";

/** How a service sits on its nodes, when of its tasks these will stay. */
export function loadOf(tasks: readonly Task[], staying: readonly Task[]): ServiceLoad {
  return { staying: countByNode(staying), held: countByNode(tasks.filter(occupies)) };
}

function countByNode(tasks: readonly Task[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { nodeId } of tasks) counts.set(nodeId, (counts.get(nodeId) ?? 0) + 1);
  return counts;
}
