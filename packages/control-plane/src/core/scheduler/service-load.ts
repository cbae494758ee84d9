import type { Task } from "@berth/proto";
import type { NodeSnapshot } from "../model/snapshot.js";
import type { NodeCounts, StableTasks } from "../model/task-index.js";
import { nodesToAvoid } from "./avoidance.js";
import { ChangedCounts } from "./node-counts.js";
import type { TaskRequirements } from "./requirements.js";
import { occupiesNode } from "./resource-request.js";

/** The distribution of a service over the nodes before placement, by node ID. */
export interface ServiceLoad {
  /** Tasks that keep their nodes. Spreading counts these. */
  readonly tasksByNode: NodeCounts;
  /** Tasks that occupy nodes, including tasks that are to stop. The limit per node counts these. */
  readonly occupiedByNode: NodeCounts;
  /** Recent failures on the nodes that are chosen after all others (see `nodesToAvoid`). */
  readonly avoided: ReadonlyMap<string, number>;
}

/** The requirements of a service and its current distribution over the nodes. */
export interface ServicePlacement {
  readonly requirements: TaskRequirements;
  readonly load: ServiceLoad;
}

/** The inputs of a service's load, besides its tasks. */
export interface ServiceLoadContext {
  readonly isCurrent: (task: Task) => boolean;
  readonly nowMs: number;
  /** The stable tasks of the service, which are not in the lists. Undefined if there are none. */
  readonly stable: StableTasks | undefined;
}

/**
 * Returns the load of a service before placement.
 *
 * @param tasks the tasks of the service, except for stable ones
 * @param staying the tasks among them that are neither stopped nor replaced
 */
export function computeServiceLoad(
  tasks: readonly Task[],
  staying: readonly Task[],
  { stable, ...context }: ServiceLoadContext,
): ServiceLoad {
  return new TaskLoad(tasks, stable, {
    tasksByNode: countWithStable(staying, stable),
    // Stable tasks have not failed, so only other tasks can cause a node to be avoided.
    avoided: nodesToAvoid(tasks, context),
  });
}

/** Returns a function that counts the tasks of the service that occupy a node. Always 0 without a limit per node. */
export function occupiedTasksFunction({
  requirements,
  load,
}: ServicePlacement): (snapshot: NodeSnapshot) => number {
  if (requirements.maxPerNode === Number.POSITIVE_INFINITY) return () => 0;
  const { occupiedByNode } = load;
  return ({ node }) => occupiedByNode.get(node.id) ?? 0;
}

/** Counts the tasks that occupy nodes on demand, because only services with a limit per node need the count. */
class TaskLoad implements ServiceLoad {
  readonly tasksByNode: NodeCounts;
  readonly avoided: ReadonlyMap<string, number>;
  readonly #tasks: readonly Task[];
  readonly #stable: StableTasks | undefined;
  #occupiedByNode: NodeCounts | undefined;

  constructor(
    tasks: readonly Task[],
    stable: StableTasks | undefined,
    { tasksByNode, avoided }: Pick<ServiceLoad, "tasksByNode" | "avoided">,
  ) {
    this.#tasks = tasks;
    this.#stable = stable;
    this.tasksByNode = tasksByNode;
    this.avoided = avoided;
  }

  get occupiedByNode(): NodeCounts {
    this.#occupiedByNode ??= countWithStable(this.#tasks.filter(occupiesNode), this.#stable);
    return this.#occupiedByNode;
  }
}

/** Counts the tasks by node, including the stable tasks that may stay on their nodes. */
function countWithStable(tasks: readonly Task[], stable: StableTasks | undefined): NodeCounts {
  const counts = new Map<string, number>();
  for (const { nodeId } of tasks) counts.set(nodeId, (counts.get(nodeId) ?? 0) + 1);
  if (stable === undefined) return counts;
  for (const { nodeId } of stable.leaving) counts.set(nodeId, (counts.get(nodeId) ?? 0) - 1);
  return new ChangedCounts(stable.countByNode, counts);
}
