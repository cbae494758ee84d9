import type { Task } from "@berth/proto";
import { reconcile } from "../../../packages/control-plane/src/core/reconcile.js";
import { systemRuntime } from "../../../packages/control-plane/src/runtime/runtime.js";
import type { NodeTable } from "../../../packages/control-plane/src/state/node-table.js";
import { buildNodes, buildService } from "./fixtures.js";

/** Maximum number of replicas in a spec. More tasks need more services. */
const MAX_REPLICAS = 100_000;
/**
 * Minimum number of tasks that are placed in a run. Short decisions are repeated, so that garbage collection is
 * included.
 */
const TASKS_PER_RUN = 100_000;

export interface Shape {
  readonly tasks: number;
  readonly nodes: number;
  /** Whether tasks are spread over zones, and over racks within each zone. */
  readonly isSpread?: boolean;
}

/** Plans every service of the shape and returns the duration in milliseconds. */
export function timePlacement(shape: Shape): number {
  const nodes = buildNodes(shape.nodes);
  const repeats = Math.max(1, Math.floor(TASKS_PER_RUN / shape.tasks));
  let totalMs = 0;
  for (let repeat = 0; repeat < repeats; repeat += 1) totalMs += decideAll(shape, nodes);
  return totalMs / repeats;
}

/** Plans the services one after another. The tasks of each stay in memory while the next is planned. */
function decideAll({ tasks, isSpread = false }: Shape, nodes: NodeTable): number {
  const kept: Task[][] = [];
  let totalMs = 0;
  for (let made = 0; made < tasks; made += MAX_REPLICAS) {
    const replicas = Math.min(MAX_REPLICAS, tasks - made);
    const service = buildService(`bench-${made}`, replicas, isSpread);
    const startedAt = performance.now();
    const { actions } = reconcile(service, nodes, {
      nowMs: Date.now(),
      newId: () => systemRuntime.newId(),
      leaderSinceMs: 0,
      holdReason: "",
    });
    totalMs += performance.now() - startedAt;
    const created = actions.flatMap((one) => (one.kind === "create-task" ? [one.task] : []));
    checkPlaced(created, replicas);
    if (made + replicas === tasks) break;
    for (const task of created) nodes.occupy(task, service.spec);
    kept.push(created);
  }
  return totalMs;
}

function checkPlaced(tasks: readonly Task[], replicas: number): void {
  const placed = tasks.filter(({ nodeId }) => nodeId !== "").length;
  if (placed !== replicas) throw new Error(`${placed} of ${replicas} tasks were placed`);
}
