import { BerthError, type Task, TaskState, taskStateToJSON } from "@berth/proto";
import { nodeNameById } from "../core/model/node-name.js";
import { byAge, isEnded, stateOf } from "../core/model/task-state.js";
import type { ClusterState } from "../state/cluster-state.js";
import { findService, findTask, joinNames } from "./lookup.js";

/** The tasks that a reference on the command line selects. */
export type LookupTarget = { readonly kind: "task"; readonly task: Task } | ServiceTarget;

/** All tasks of a service or of one slot, including tasks that the service gets later. */
export interface ServiceTarget {
  readonly kind: "service";
  readonly serviceId: string;
  /** Key of the slot. Undefined if the target includes the tasks of all slots. */
  readonly slot: string | undefined;
  /** Newest first. */
  readonly tasks: readonly Task[];
}

/**
 * Finds the target of a reference: SERVICE, SERVICE.SLOT (SERVICE.NODE for a global service), a task's ID or a unique
 * prefix of it, or a container name (SERVICE.SLOT.TASK). A service's full name or ID takes precedence.
 *
 * @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS
 */
export function findTarget(state: ClusterState, reference: string): LookupTarget {
  if (reference === "") {
    throw new BerthError({ code: "BERTH_INPUT_INVALID", message: "no service or task specified" });
  }
  const service = state.services.get(reference) ?? state.services.byName(reference);
  if (service !== undefined) return createServiceTarget(state, service.id, undefined);
  return (
    findSlotTarget(state, reference) ??
    findTaskTarget(state, reference) ??
    createServiceTarget(state, findService(state, reference).id, undefined)
  );
}

/**
 * Finds the only running task that a reference matches.
 *
 * @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS
 */
export function findRunningTask(state: ClusterState, reference: string): Task {
  const target = findTarget(state, reference);
  const tasks = tasksOf(target);
  const running = tasks.filter((task) => hasLog(task) && !isEnded(task));
  const [first, ...others] = running;
  if (first === undefined) throw notRunningError(reference, tasks);
  if (others.length === 0) return first;
  const candidates = joinNames(running.map((task) => formatTaskLabel(state, task)).sort());
  throw new BerthError({
    code: "BERTH_AMBIGUOUS",
    message: `service ${first.serviceName} has ${running.length} running tasks; choose one of ${candidates}`,
    details: { candidates },
  });
}

/**
 * Finds the newest running task that a reference matches.
 *
 * @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS
 */
export function findAnyRunningTask(state: ClusterState, reference: string): Task {
  const tasks = tasksOf(findTarget(state, reference));
  const running = tasks.find((task) => stateOf(task) === TaskState.RUNNING && hasLog(task));
  if (running === undefined) throw notRunningError(reference, tasks);
  return running;
}

/**
 * Finds the newest task with a node that a reference matches.
 *
 * @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS
 */
export function findPlacedTask(state: ClusterState, reference: string): Task {
  const tasks = tasksOf(findTarget(state, reference));
  const placed = tasks.find((task) => task.nodeId !== "" && !isEnded(task));
  if (placed === undefined) throw notRunningError(reference, tasks);
  return placed;
}

function tasksOf(target: LookupTarget): readonly Task[] {
  return target.kind === "task" ? [target.task] : target.tasks;
}

/** Returns whether a task belongs to a slot: a number or, for a global service, a node's ID or hostname. */
export function isInSlot(state: ClusterState, task: Task, slot: string): boolean {
  if (task.slot !== 0) return String(task.slot) === slot;
  return task.nodeId === slot || nodeNameById(task.nodeId, state.nodes) === slot;
}

/** Returns whether a task has a log, because it has or had a container. */
export function hasLog(task: Task): boolean {
  return task.nodeId !== "" && (task.status?.containerId ?? "") !== "";
}

function createServiceTarget(
  state: ClusterState,
  serviceId: string,
  slot: string | undefined,
): ServiceTarget {
  const all = [...state.tasks.ofService(serviceId).values()];
  const tasks = slot === undefined ? all : all.filter((task) => isInSlot(state, task, slot));
  return { kind: "service", serviceId, slot, tasks: tasks.sort(byAge) };
}

/** Finds `shop_web.2` or `shop_agent.host-1`. Tries each dot, since services and hostnames may contain dots. */
function findSlotTarget(state: ClusterState, reference: string): LookupTarget | undefined {
  for (let dot = reference.indexOf("."); dot > 0; dot = reference.indexOf(".", dot + 1)) {
    const service = state.services.byName(reference.slice(0, dot));
    if (service === undefined) continue;
    const target = createServiceTarget(state, service.id, reference.slice(dot + 1));
    if (target.tasks.length > 0) return target;
  }
  return undefined;
}

function findTaskTarget(state: ClusterState, reference: string): LookupTarget | undefined {
  const task = findTask(state, reference) ?? state.tasks.get(reference.slice(reference.lastIndexOf(".") + 1));
  return task && { kind: "task", task };
}

function notRunningError(reference: string, tasks: readonly Task[]): BerthError {
  const [newest] = tasks;
  const message = newest?.status?.message ?? "";
  const newestState = newest === undefined ? "" : ` (the newest task is ${formatTaskState(newest)})`;
  const reason = message === "" ? "" : `: ${message}`;
  return new BerthError({
    code: "BERTH_NOT_FOUND",
    message: `${JSON.stringify(reference)} has no running task${newestState}${reason}`,
  });
}

function formatTaskLabel(state: ClusterState, task: Task): string {
  const hostname = nodeNameById(task.nodeId, state.nodes);
  return task.slot === 0
    ? `${task.serviceName}.${hostname}`
    : `${task.serviceName}.${task.slot} (on ${hostname})`;
}

function formatTaskState(task: Task): string {
  return taskStateToJSON(stateOf(task)).replace("TASK_STATE_", "").toLowerCase();
}
