import { BerthError, type Task, taskStateToJSON } from "@berth/proto";
import { byAge, isEnded, stateOf } from "../core/model/task-state.js";
import type { ClusterState } from "../state/cluster-state.js";
import { findService, findTask } from "./lookup.js";

/** As many as fit on a line or two. */
const MAX_LISTED = 8;

/** What a name can mean that stands for tasks. */
export type LookupTarget =
  | { readonly kind: "task"; readonly task: Task }
  /** Newest first. `serviceId` also has the tasks that it gets later; `slot` when only that of it is meant. */
  | {
      readonly kind: "service";
      readonly serviceId: string;
      readonly slot: string | undefined;
      readonly tasks: readonly Task[];
    };

/**
 * Reads SERVICE, SERVICE.SLOT (of a global service SERVICE.NODE), a task's id or a unique prefix of it, and
 * SERVICE.SLOT.TASK as containers are called. A service's own name or id is never taken for anything else.
 * @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS
 */
export function findTarget(state: ClusterState, reference: string): LookupTarget {
  if (reference === "")
    throw new BerthError({ code: "BERTH_INPUT_INVALID", message: "Name a service or a task." });
  const service = state.services.get(reference) ?? state.services.byName(reference);
  if (service !== undefined) return ofService(state, service.id, undefined);
  return ofSlot(state, reference) ?? ofTask(state, reference) ?? ofServicePrefix(state, reference);
}

/** The one running task that a name means. @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS, saying what runs */
export function findRunningTask(state: ClusterState, reference: string): Task {
  const target = findTarget(state, reference);
  const tasks = target.kind === "task" ? [target.task] : target.tasks;
  const running = tasks.filter((task) => hasLog(task) && !isEnded(task));
  const [only, ...others] = running;
  if (only !== undefined && others.length === 0) return only;
  if (only === undefined) throw notRunning(reference, tasks);
  const candidates = listed(running.map((task) => slotWord(state, task)).sort());
  throw new BerthError({
    code: "BERTH_AMBIGUOUS",
    message: `${running.length} tasks of ${only.serviceName} run. Choose one: ${candidates}.`,
    details: { candidates },
  });
}

/** Whether a task belongs to a slot, as the target names it: by number, or by node for global services. */
export function isOfSlot(state: ClusterState, task: Task, slot: string): boolean {
  if (task.slot !== 0) return String(task.slot) === slot;
  return task.nodeId === slot || hostnameOf(state, task) === slot;
}

function ofService(state: ClusterState, serviceId: string, slot: string | undefined): LookupTarget {
  const all = [...state.tasks.ofService(serviceId).values()];
  const tasks = slot === undefined ? all : all.filter((task) => isOfSlot(state, task, slot));
  return { kind: "service", serviceId, slot, tasks: tasks.sort(byAge) };
}

/** `shop_web.2`, or `shop_agent.host-1`; host names and services may have dots of their own. */
function ofSlot(state: ClusterState, reference: string): LookupTarget | undefined {
  for (let dot = reference.indexOf("."); dot > 0; dot = reference.indexOf(".", dot + 1)) {
    const service = state.services.byName(reference.slice(0, dot));
    if (service === undefined) continue;
    const target = ofService(state, service.id, reference.slice(dot + 1));
    if (target.kind === "service" && target.tasks.length > 0) return target;
  }
  return undefined;
}

function ofTask(state: ClusterState, reference: string): LookupTarget | undefined {
  const task = findTask(state, reference) ?? state.tasks.get(reference.slice(reference.lastIndexOf(".") + 1));
  return task && { kind: "task", task };
}

function ofServicePrefix(state: ClusterState, reference: string): LookupTarget {
  return ofService(state, findService(state, reference).id, undefined);
}

/** Whether it has a container, or had one. */
export function hasLog(task: Task): boolean {
  return task.nodeId !== "" && (task.status?.containerId ?? "") !== "";
}

function notRunning(reference: string, tasks: readonly Task[]): BerthError {
  const [newest] = tasks;
  const message = newest?.status?.message ?? "";
  const state = newest === undefined ? "" : ` (the newest is ${stateWord(newest)})`;
  const why = message === "" ? state : `${state}: ${message}`;
  return new BerthError({
    code: "BERTH_NOT_FOUND",
    message: `No task of ${JSON.stringify(reference)} runs${why}.`,
  });
}

function slotWord(state: ClusterState, task: Task): string {
  const hostname = hostnameOf(state, task);
  return task.slot === 0
    ? `${task.serviceName}.${hostname}`
    : `${task.serviceName}.${task.slot} (on ${hostname})`;
}

const stateWord = (task: Task): string =>
  taskStateToJSON(stateOf(task)).replace("TASK_STATE_", "").toLowerCase();

const hostnameOf = (state: ClusterState, { nodeId }: Task): string =>
  state.nodes.get(nodeId)?.description?.hostname || nodeId;

function listed(names: readonly string[]): string {
  const shown = names.slice(0, MAX_LISTED).join(", ");
  return names.length <= MAX_LISTED ? shown : `${shown} and ${names.length - MAX_LISTED} more`;
}
