import { Service, Task, TaskState } from "@berth/proto";
import type { ServiceSnapshot } from "../../../packages/control-plane/src/core/model/snapshot.js";
import { reconcile } from "../../../packages/control-plane/src/core/reconcile.js";
import { buildSnapshot } from "../../../packages/control-plane/src/core/testing/records.js";
import { systemRuntime } from "../../../packages/control-plane/src/runtime/runtime.js";
import type { NodeTable } from "../../../packages/control-plane/src/state/node-table.js";
import { buildNodes, buildService } from "./fixtures.js";

const SERVICES = 100;
/** A service loses one task after the other, and gets another each time. */
const LOSSES_PER_SERVICE = 20;

export interface SingleShape {
  readonly nodes: number;
  /** Of each service. */
  readonly replicas: number;
}

/** Microseconds that it takes to decide about a service which lost one of its tasks, the new task's node included. */
export function timeReplacement({ nodes: count, replicas }: SingleShape): number {
  const nodes = buildNodes(count);
  const services = Array.from({ length: SERVICES }, (_, index) =>
    settledService(`bench-${index}`, replicas, nodes),
  );
  let totalMs = 0;
  for (let loss = 0; loss < LOSSES_PER_SERVICE; loss += 1) {
    for (const service of services) totalMs += loseOne(service, loss, nodes);
  }
  return (totalMs * 1_000) / (SERVICES * LOSSES_PER_SERVICE);
}

/** A service all of whose tasks run well, where placement put them. */
function settledService(name: string, replicas: number, nodes: NodeTable): ServiceSnapshot {
  const made = buildService(name, replicas, false);
  const tasks = created(made, nodes).map(runningWell);
  for (const task of tasks) nodes.occupy(task, made.spec);
  const service = Service.fromPartial({ ...made.service, healthyVersion: 1 });
  return buildSnapshot({ ...made, service, tasks });
}

/** Each loss is decided upon from the records that a server would have then; what is made stays on its node. */
function loseOne(view: ServiceSnapshot, index: number, nodes: NodeTable): number {
  const lost = view.tasks[index];
  if (lost === undefined) throw new Error(`${view.spec.name} has no task ${index}`);
  nodes.release(lost.id);
  const tasks = view.tasks.map((task) => (task === lost ? ended(task) : task));
  // A server keeps the index up to date, so building it is not part of the decision.
  const after = buildSnapshot({ ...view, tasks });
  const startedAt = performance.now();
  const [replacement] = created(after, nodes);
  const tookMs = performance.now() - startedAt;
  if (replacement === undefined || replacement.nodeId === "") throw new Error("no task took its place");
  nodes.occupy(replacement, view.spec);
  return tookMs;
}

function created(view: ServiceSnapshot, nodes: NodeTable): readonly Task[] {
  const now = Date.now();
  const newId = (): string => systemRuntime.newId();
  const { actions } = reconcile(view, nodes, { now, newId, leaderSinceMs: 0, holdReason: "" });
  return actions.flatMap((one) => (one.kind === "create-task" ? [one.task] : []));
}

/** For as long as it takes to be forgiven its start. */
const RUNNING_MS = 3_600_000;

function runningWell(task: Task): Task {
  const sinceMs = Date.now() - RUNNING_MS;
  return Task.fromPartial({
    ...task,
    status: { state: TaskState.RUNNING, sinceMs, runningSinceMs: sinceMs },
  });
}

const ended = (task: Task): Task =>
  Task.fromPartial({ ...task, status: { ...task.status, state: TaskState.LOST, sinceMs: Date.now() } });
