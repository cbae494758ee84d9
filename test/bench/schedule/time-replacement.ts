import { Service, Task, TaskState } from "@berth/proto";
import type { ServiceSnapshot } from "../../../packages/control-plane/src/core/model/snapshot.js";
import { reconcile } from "../../../packages/control-plane/src/core/reconcile.js";
import { buildSnapshot } from "../../../packages/control-plane/src/core/testing/records.js";
import { systemRuntime } from "../../../packages/control-plane/src/runtime/runtime.js";
import type { NodeTable } from "../../../packages/control-plane/src/state/node-table.js";
import { buildNodes, buildService } from "./fixtures.js";

const SERVICES = 100;
/** Number of tasks that each service loses, one after another. */
const MAX_LOSSES = 20;

export interface ReplacementShape {
  readonly nodes: number;
  /** Number of tasks of each service. */
  readonly replicas: number;
}

/** Returns how many microseconds it takes to plan and place the replacement of one lost task. */
export function timeReplacement({ nodes: count, replicas }: ReplacementShape): number {
  const nodes = buildNodes(count);
  const losses = Math.min(MAX_LOSSES, replicas);
  const services = Array.from({ length: SERVICES }, (_, index) =>
    buildRunningService(`bench-${index}`, replicas, nodes),
  );
  let totalMs = 0;
  for (let loss = 0; loss < losses; loss += 1) {
    for (const service of services) totalMs += loseOne(service, loss, nodes);
  }
  return (totalMs * 1_000) / (SERVICES * losses);
}

/** Builds a service whose tasks are all running, on nodes that placement chose. */
function buildRunningService(name: string, replicas: number, nodes: NodeTable): ServiceSnapshot {
  const made = buildService(name, replicas, false);
  const tasks = created(made, nodes).map(runningTask);
  for (const task of tasks) nodes.occupy(task, made.spec);
  const service = Service.fromPartial({ ...made.service, healthyVersion: 1 });
  return buildSnapshot({ ...made, service, tasks });
}

/** Times one decision, based on the records that a server would have. The new task keeps its node. */
function loseOne(view: ServiceSnapshot, index: number, nodes: NodeTable): number {
  const lost = view.tasks[index];
  if (lost === undefined) throw new Error(`${view.spec.name} has no task ${index}`);
  nodes.release(lost.id);
  const tasks = view.tasks.map((task) => (task === lost ? ended(task) : task));
  // A server maintains this index, so building it is not part of the decision.
  const after = buildSnapshot({ ...view, tasks });
  const startedAt = performance.now();
  const [replacement] = created(after, nodes);
  const tookMs = performance.now() - startedAt;
  if (replacement === undefined || replacement.nodeId === "")
    throw new Error("the lost task was not replaced");
  nodes.occupy(replacement, view.spec);
  return tookMs;
}

function created(view: ServiceSnapshot, nodes: NodeTable): readonly Task[] {
  const nowMs = Date.now();
  const newId = (): string => systemRuntime.newId();
  const { actions } = reconcile(view, nodes, { nowMs, newId, leaderSinceMs: 0, holdReason: "" });
  return actions.flatMap((one) => (one.kind === "create-task" ? [one.task] : []));
}

/** Time for which the tasks have run: long enough for the restart delay to be reset. */
const RUNNING_MS = 3_600_000;

function runningTask(task: Task): Task {
  const sinceMs = Date.now() - RUNNING_MS;
  return Task.fromPartial({
    ...task,
    status: { state: TaskState.RUNNING, sinceMs, runningSinceMs: sinceMs },
  });
}

const ended = (task: Task): Task =>
  Task.fromPartial({ ...task, status: { ...task.status, state: TaskState.LOST, sinceMs: Date.now() } });
