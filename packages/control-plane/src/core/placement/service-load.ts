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
  return new TaskLoad(tasks, countByNode(staying), nodesToAvoid(tasks, at));
}

/** Only a limit per node asks for what is held, and most services have none. */
class TaskLoad implements ServiceLoad {
  readonly #tasks: readonly Task[];
  readonly staying: ReadonlyMap<string, number>;
  readonly avoid: ReadonlyMap<string, number>;
  #held: ReadonlyMap<string, number> | undefined;

  constructor(
    tasks: readonly Task[],
    staying: ReadonlyMap<string, number>,
    avoid: ReadonlyMap<string, number>,
  ) {
    this.#tasks = tasks;
    this.staying = staying;
    this.avoid = avoid;
  }

  get held(): ReadonlyMap<string, number> {
    this.#held ??= countByNode(this.#tasks.filter(occupies));
    return this.#held;
  }
}

function countByNode(tasks: readonly Task[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { nodeId } of tasks) counts.set(nodeId, (counts.get(nodeId) ?? 0) + 1);
  return counts;
}
