import type { Node, ServiceSpec, Task } from "@berth/proto";
import type { ClusterSnapshot, ServiceSnapshot } from "../model/snapshot.js";
import { shouldRun } from "../model/task-state.js";
import { occupiesNode } from "../scheduler/resource-request.js";
import { buildCluster } from "./records.js";
import { World } from "./world.js";

/** Number of rounds after which `settleOverTime` fails. */
const MAX_ROUNDS = 400;

/** A service whose tasks run beside those of another service, in one simulated cluster. */
class CompanionService extends World {
  readonly #owner: World;

  constructor(options: { readonly spec: ServiceSpec; readonly nodes: readonly Node[] }, owner: World) {
    super(options);
    this.#owner = owner;
  }

  override get snapshot(): ServiceSnapshot {
    const { spec, snapshot } = this.#owner;
    return { ...super.snapshot, owners: [{ name: spec.name, snapshot }] };
  }

  override get cluster(): ClusterSnapshot {
    return buildCluster([...this.nodes.values()], [this.snapshot, this.#owner.snapshot]);
  }
}

/** A service and its companion. Agents and time advance for both at once. */
export class CompanionWorld {
  readonly owner: World;
  readonly companion: World;

  constructor({
    owner,
    companion,
    nodes,
  }: {
    readonly owner: ServiceSpec;
    readonly companion: ServiceSpec;
    readonly nodes: readonly Node[];
  }) {
    this.owner = new World({ spec: owner, nodes });
    this.companion = new CompanionService({ spec: companion, nodes }, this.owner);
  }

  setNode(id: string, change: Parameters<World["setNode"]>[1]): void {
    this.owner.setNode(id, change);
    this.companion.setNode(id, change);
  }

  /** Reconciles both services once, and advances each task by one step. Returns whether a task has changed. */
  step(): boolean {
    const { owner, companion } = this;
    let hasChanged = false;
    for (const world of [owner, companion]) {
      const before = [...world.tasks.values()];
      world.settle();
      for (const task of world.tasks.values()) world.advance(task.id, { fails: false });
      hasChanged ||= before.length !== world.tasks.size;
      hasChanged ||= before.some((task) => world.tasks.get(task.id) !== task);
    }
    return hasChanged;
  }

  /** Advances agents and time until nothing changes. `observe` is called after each step. */
  settleOverTime(observe: () => void = () => undefined): void {
    const { owner, companion } = this;
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const hasChanged = this.step();
      observe();
      const due = [owner.dueMs, companion.dueMs].flatMap((ms) => ms ?? []);
      if (!hasChanged && due.length === 0) return;
      const nowMs = hasChanged ? owner.nowMs + 100 : Math.max(owner.nowMs + 1, Math.min(...due));
      owner.nowMs = nowMs;
      companion.nowMs = nowMs;
    }
    throw new Error("the world did not settle");
  }
}

/** Returns the tasks of a service that should run and have a node, by slot. */
export const runningTasks = (world: World): readonly Task[] =>
  [...world.tasks.values()]
    .filter((task) => shouldRun(task) && occupiesNode(task))
    .sort((a, b) => a.slot - b.slot || (a.nodeId < b.nodeId ? -1 : 1));
