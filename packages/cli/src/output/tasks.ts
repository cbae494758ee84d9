import {
  DesiredState,
  Health,
  type NodeSummary,
  PortSpec_Mode,
  type ServiceSummary,
  type Task,
  TaskState,
} from "@berth/proto";
import type { FilterTable } from "../options/filters.js";
import { formatTimeSince } from "./human.js";
import type { Listing } from "./print.js";
import { serviceId, serviceImage, shortId } from "./services.js";
import {
  capitalize,
  DESIRED_STATE_NAMES,
  desiredStateName,
  healthName,
  protocolName,
  taskStateName,
} from "./state-names.js";
import { truncate } from "./table.js";
import { currentTaskFilter, hasEnded, slotName, statusMessage, taskName, taskState } from "./task-text.js";

const MAX_ERROR_WIDTH = 40;
/** Maximum width of the reason why a task has not started. It is wide, because the reason is printed nowhere else. */
const MAX_WAITING_WIDTH = 120;

/** A task with the names that tables show instead of IDs. */
export interface TaskRow {
  readonly task: Task;
  /** Image of the task. Empty if the service has a different template now. */
  readonly image: string;
  /** Hostname; empty until the task is assigned. */
  readonly node: string;
  /** Ports that are published on the node itself. */
  readonly ports: string;
  /** Whether a newer task has taken over the slot. */
  readonly isReplaced: boolean;
}

export interface TaskListingOptions {
  readonly nowMs: number;
  readonly noTrunc?: boolean;
  readonly noResolve?: boolean;
}

/** The records from which the rows of a task list are built. */
export interface TaskSources {
  readonly tasks: readonly Task[];
  readonly services: readonly ServiceSummary[];
  readonly nodes: readonly NodeSummary[];
}

/** Returns the tasks sorted by service and slot. In each slot, the current task comes first, then the newest ones. */
export function taskRows({ tasks, services, nodes }: TaskSources): readonly TaskRow[] {
  const serviceById = new Map(services.map((summary) => [serviceId(summary), summary]));
  const hostnames = new Map(nodes.map(({ node }) => [node?.id ?? "", node?.description?.hostname ?? ""]));
  const seenSlots = new Set<string>();
  return tasks.toSorted(bySlotThenAge).map((task) => {
    const slot = `${task.serviceId} ${slotName(task)}`;
    const isReplaced = seenSlots.has(slot);
    seenSlots.add(slot);
    const service = serviceById.get(task.serviceId);
    const isCurrent = currentTaskFilter(service?.service)(task);
    return {
      task,
      isReplaced,
      image: service !== undefined && isCurrent ? serviceImage(service) : "",
      node: hostnames.get(task.nodeId) || task.nodeId,
      ports: hostPorts(task, service),
    };
  });
}

/** Describes the output of `berth service ps`: the columns of `docker service ps`, and JSON. */
export function taskListing(rows: readonly TaskRow[], options: TaskListingOptions): Listing<TaskRow> {
  const { nowMs, noTrunc = false, noResolve = false } = options;
  const name = (task: Task): string => (noResolve ? `${task.serviceId}.${slotName(task)}` : taskName(task));
  return {
    rows,
    id: ({ task }) => task.id,
    json: taskJson,
    columns: [
      { title: "ID", cell: ({ task }) => (noTrunc ? task.id : shortId(task.id)) },
      { title: "NAME", cell: ({ task, isReplaced }) => `${isReplaced ? "\\_ " : ""}${name(task)}` },
      { title: "IMAGE", cell: ({ image }) => image },
      { title: "NODE", cell: ({ task, node }) => (noResolve ? task.nodeId : node) },
      { title: "DESIRED STATE", cell: (row) => capitalize(shownDesiredState(row)) },
      { title: "CURRENT STATE", cell: ({ task }) => currentStateText(task, nowMs) },
      {
        title: "ERROR",
        cell: ({ task }) => (noTrunc ? errorText(task) : truncate(errorText(task), maxErrorWidth(task))),
      },
      { title: "PORTS", cell: ({ ports }) => ports },
    ],
  };
}

export const TASK_FILTERS: FilterTable<TaskRow> = {
  id: { matches: ({ task }, value) => task.id.startsWith(value) },
  name: { matches: ({ task }, value) => taskName(task).includes(value) },
  node: { matches: ({ task, node }, value) => task.nodeId.startsWith(value) || node === value },
  "desired-state": {
    values: DESIRED_STATE_NAMES,
    matches: (row, value) =>
      shownDesiredState(row) === value ||
      (value === "shutdown" && row.task.desiredState === DesiredState.REMOVE),
  },
};

function taskJson(row: TaskRow): unknown {
  const { task, image, node } = row;
  const { status } = task;
  return {
    id: task.id,
    name: taskName(task),
    service: task.serviceName,
    serviceId: task.serviceId,
    stack: task.stack,
    slot: task.slot,
    image,
    node,
    nodeId: task.nodeId,
    desiredState: shownDesiredState(row),
    state: taskStateName(taskState(task)),
    health: healthName(status?.health ?? Health.UNSPECIFIED),
    message: status?.message ?? "",
    errorCode: status?.errorCode ?? "",
    sinceMs: status?.sinceMs ?? 0,
    exitCode: status?.exitCode ?? null,
    containerId: status?.containerId ?? "",
    restarts: task.restarts,
    version: task.specVersion,
    ports: (status?.ports ?? []).map(({ protocol, target, hostPort }) => ({
      target,
      hostPort,
      protocol: protocolName(protocol),
    })),
  };
}

/** Returns "shutdown" for an ended task that was replaced, as Swarm does, even if its record says "running". */
function shownDesiredState({ task, isReplaced }: TaskRow): string {
  const isSuperseded = isReplaced && hasEnded(task) && task.desiredState === DesiredState.RUNNING;
  return desiredStateName(isSuperseded ? DesiredState.SHUTDOWN : task.desiredState);
}

/** Notes by health. UNKNOWN means that the node is down, so the container may or may not be running. */
const HEALTH_NOTES: ReadonlyMap<Health, string> = new Map([
  [Health.UNHEALTHY, " (unhealthy)"],
  [Health.UNKNOWN, " (unreachable)"],
]);

function currentStateText(task: Task, nowMs: number): string {
  const { status } = task;
  const state = taskState(task);
  const isRunning = state === TaskState.RUNNING;
  const note = (isRunning && HEALTH_NOTES.get(status?.health ?? Health.UNSPECIFIED)) || "";
  const when =
    status === undefined || status.sinceMs === 0 ? "" : ` ${formatTimeSince(status.sinceMs, nowMs)}`;
  return `${capitalize(taskStateName(state))}${note}${when}`;
}

/**
 * Returns the error of a task, or what it waits for before it starts, such as a network. Empty for a task that is healthy,
 * or that ended as intended.
 */
function errorText(task: Task): string {
  const { status } = task;
  const state = taskState(task);
  const hasStarted = state === TaskState.STARTING || state === TaskState.RUNNING;
  const isHealthy = state === TaskState.ASSIGNED || (hasStarted && status?.health !== Health.UNHEALTHY);
  const isIntendedEnd = state === TaskState.COMPLETE || state === TaskState.SHUTDOWN;
  return status === undefined || isHealthy || isIntendedEnd ? "" : statusMessage(task);
}

function maxErrorWidth(task: Task): number {
  return taskState(task) <= TaskState.PREPARING ? MAX_WAITING_WIDTH : MAX_ERROR_WIDTH;
}

function hostPorts({ status }: Task, service: ServiceSummary | undefined): string {
  const hostModePorts = new Set(
    (service?.service?.spec?.ports ?? [])
      .filter(({ mode }) => mode === PortSpec_Mode.HOST)
      .map(({ protocol, target }) => `${target}/${protocolName(protocol)}`),
  );
  return (status?.ports ?? [])
    .map(({ protocol, target, hostPort }) => ({ target: `${target}/${protocolName(protocol)}`, hostPort }))
    .filter(({ target }) => hostModePorts.has(target))
    .map(({ target, hostPort }) => `*:${hostPort}->${target}`)
    .join(", ");
}

/** Compares tasks by slot. In a slot, ended tasks come last: if a replacement fails, the older task keeps the slot. */
function bySlotThenAge(a: Task, b: Task): number {
  return compareSlots(a, b) || Number(hasEnded(a)) - Number(hasEnded(b)) || b.createdAtMs - a.createdAtMs;
}

function compareSlots(a: Task, b: Task): number {
  const order = a.serviceName.localeCompare(b.serviceName) || a.slot - b.slot;
  // A global service has one slot per node. These slots have no number.
  return order === 0 && a.slot === 0 ? a.nodeId.localeCompare(b.nodeId) : order;
}
