import type { Task } from "@berth/proto";
import type { Settled } from "../orchestrator/slots/settled.js";
import { nodesToAvoid } from "./avoidance.js";
import { ChangedCounts, type NodeCounts } from "./node-counts.js";
import { occupiesNode } from "./occupancy.js";
import type { ServiceLoad } from "./schedule.js";

export interface LoadContext {
  readonly isCurrent: (task: Task) => boolean;
  readonly now: number;
  /** Tasks of the service besides those given: all of them stay where they run. */
  readonly settled?: Settled | undefined;
}

/** How a service sits on its nodes, when of its tasks these will stay. */
export function serviceLoadOf(
  tasks: readonly Task[],
  staying: readonly Task[],
  context: LoadContext,
): ServiceLoad {
  return new TaskStats(tasks, staying, context);
}

/** Only a limit per node asks for what is held, and most services have none. */
class TaskStats implements ServiceLoad {
  readonly #tasks: readonly Task[];
  readonly #settled: Settled | undefined;
  readonly tasksByNode: NodeCounts;
  readonly avoided: ReadonlyMap<string, number>;
  #held: NodeCounts | undefined;

  constructor(tasks: readonly Task[], staying: readonly Task[], { settled, ...at }: LoadContext) {
    this.#tasks = tasks;
    this.#settled = settled;
    this.tasksByNode = this.#withSettled(staying);
    // What runs well did not fail, so nothing settled speaks against its node.
    this.avoided = nodesToAvoid(tasks, at);
  }

  get occupiedByNode(): NodeCounts {
    this.#held ??= this.#withSettled(this.#tasks.filter(occupiesNode));
    return this.#held;
  }

  #withSettled(tasks: readonly Task[]): NodeCounts {
    const counts = new Map<string, number>();
    for (const { nodeId } of tasks) counts.set(nodeId, (counts.get(nodeId) ?? 0) + 1);
    if (this.#settled === undefined) return counts;
    const { calm, leaving } = this.#settled;
    for (const { nodeId } of leaving) counts.set(nodeId, (counts.get(nodeId) ?? 0) - 1);
    return new ChangedCounts(calm, counts);
  }
}
