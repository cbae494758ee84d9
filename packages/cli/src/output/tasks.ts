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
import { currentTaskFilter } from "./current-task.js";
import { ago } from "./human.js";
import type { Listing } from "./print.js";
import { imageOf, serviceId, shortId } from "./services.js";
import { capitalize, desiredStateName, healthName, protocolName, taskStateName } from "./state-names.js";
import { oneLine, truncate } from "./table.js";

const MAX_ERROR_WIDTH = 40;
/** Why a task finds no node is said nowhere else, and half of it is no help. */
const MAX_PENDING_WIDTH = 120;

/** A task with what a person wants to see instead of ids. */
export interface TaskRow {
  readonly task: Task;
  /** Empty when another version of the service runs now. */
  readonly image: string;
  /** Hostname; empty while it has no node. */
  readonly node: string;
  /** Ports that answer on the node itself. */
  readonly ports: string;
  /** A newer task has its slot. */
  readonly isReplaced: boolean;
}

export interface TaskListingOptions {
  readonly nowMs: number;
  readonly noTrunc?: boolean;
  readonly noResolve?: boolean;
}

export interface TaskSources {
  readonly tasks: readonly Task[];
  readonly services: readonly ServiceSummary[];
  readonly nodes: readonly NodeSummary[];
}

/** Tasks by service and slot; of each slot what is there now first, then what came before, the newest first. */
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
      image: service !== undefined && isCurrent ? imageOf(service) : "",
      node: hostnames.get(task.nodeId) || task.nodeId,
      ports: hostPorts(task, service),
    };
  });
}

/** The columns of `docker service ps`. */
export function taskListing(rows: readonly TaskRow[], options: TaskListingOptions): Listing<TaskRow> {
  const { nowMs, noTrunc = false, noResolve = false } = options;
  return {
    rows,
    id: ({ task }) => task.id,
    json: taskJson,
    columns: [
      { title: "ID", cell: ({ task }) => (noTrunc ? task.id : shortId(task.id)) },
      {
        title: "NAME",
        cell: ({ task, isReplaced }) => `${isReplaced ? "\\_ " : ""}${displayName(task, noResolve)}`,
      },
      { title: "IMAGE", cell: ({ image }) => image },
      { title: "NODE", cell: ({ task, node }) => (noResolve ? task.nodeId : node) },
      { title: "DESIRED STATE", cell: (row) => capitalize(desiredWord(row)) },
      { title: "CURRENT STATE", cell: ({ task }) => currentState(task, nowMs) },
      {
        title: "ERROR",
        cell: ({ task }) => (noTrunc ? problem(task) : truncate(problem(task), maxErrorWidth(task))),
      },
      { title: "PORTS", cell: ({ ports }) => ports },
    ],
  };
}

export const TASK_FILTERS: FilterTable<TaskRow> = {
  id: ({ task }, value) => task.id.startsWith(value),
  name: ({ task }, value) => `${task.serviceName}.${slotName(task)}`.includes(value),
  node: ({ task, node }, value) => task.nodeId.startsWith(value) || node === value,
  "desired-state": (row, value) =>
    desiredWord(row) === value || (value === "shutdown" && row.task.desiredState === DesiredState.REMOVE),
};

function taskJson(row: TaskRow): unknown {
  const { task, image, node } = row;
  const { status } = task;
  return {
    id: task.id,
    name: `${task.serviceName}.${slotName(task)}`,
    service: task.serviceName,
    serviceId: task.serviceId,
    stack: task.stack,
    slot: task.slot,
    image,
    node,
    nodeId: task.nodeId,
    desiredState: desiredWord(row),
    state: taskStateName(status?.state ?? TaskState.UNSPECIFIED),
    health: healthName(status?.health ?? Health.UNSPECIFIED),
    message: status?.message ?? "",
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

/** A task that ended and has a successor is not wanted any more, as Swarm shows it. */
function desiredWord({ task, isReplaced }: TaskRow): string {
  const isOver = isReplaced && (task.status?.state ?? TaskState.UNSPECIFIED) >= TaskState.COMPLETE;
  return desiredStateName(
    isOver && task.desiredState === DesiredState.RUNNING ? DesiredState.SHUTDOWN : task.desiredState,
  );
}

function slotName({ slot, nodeId }: Task): string {
  return slot === 0 ? nodeId : String(slot);
}

function displayName(task: Task, noResolve: boolean): string {
  return `${noResolve ? task.serviceId : task.serviceName}.${slotName(task)}`;
}

/** A container on a host that is down may run, or may not. */
const HEALTH_NOTES: ReadonlyMap<Health, string> = new Map([
  [Health.UNHEALTHY, " (unhealthy)"],
  [Health.UNKNOWN, " (out of reach)"],
]);

function currentState({ status }: Task, nowMs: number): string {
  const state = status?.state ?? TaskState.UNSPECIFIED;
  const isRunning = state === TaskState.RUNNING;
  const note = (isRunning && HEALTH_NOTES.get(status?.health ?? Health.UNSPECIFIED)) || "";
  const when =
    status === undefined || status.sinceMs === 0 ? "" : ` ${ago(status.sinceMs, nowMs).toLowerCase()}`;
  return `${capitalize(taskStateName(state))}${note}${when}`;
}

/** What is wrong with a task; nothing while all is well. */
function problem({ status }: Task): string {
  const state = status?.state ?? TaskState.UNSPECIFIED;
  const isWell =
    state >= TaskState.ASSIGNED && state <= TaskState.RUNNING && status?.health !== Health.UNHEALTHY;
  const ended = state === TaskState.COMPLETE || state === TaskState.SHUTDOWN;
  if (status === undefined || isWell || ended) return "";
  return status.message === "" && status.exitCode !== undefined
    ? `exit code ${status.exitCode}`
    : oneLine(status.message);
}

function maxErrorWidth({ status }: Task): number {
  return status?.state === TaskState.NEW ? MAX_PENDING_WIDTH : MAX_ERROR_WIDTH;
}

function hostPorts({ status }: Task, service: ServiceSummary | undefined): string {
  const direct = new Set(
    (service?.service?.spec?.ports ?? [])
      .filter(({ mode }) => mode === PortSpec_Mode.HOST)
      .map(({ protocol, target }) => `${target}/${protocolName(protocol)}`),
  );
  return (status?.ports ?? [])
    .map(({ protocol, target, hostPort }) => ({ inside: `${target}/${protocolName(protocol)}`, hostPort }))
    .filter(({ inside }) => direct.has(inside))
    .map(({ inside, hostPort }) => `*:${hostPort}->${inside}`)
    .join(", ");
}

/** A replacement that failed beside the task that it was to replace came to nothing: that one still has the slot. */
function hasEnded({ status }: Task): boolean {
  return (status?.state ?? TaskState.UNSPECIFIED) >= TaskState.COMPLETE;
}

function bySlotThenAge(a: Task, b: Task): number {
  return (
    a.serviceName.localeCompare(b.serviceName) ||
    a.slot - b.slot ||
    a.nodeId.localeCompare(b.nodeId) * Number(a.slot === 0) ||
    Number(hasEnded(a)) - Number(hasEnded(b)) ||
    b.createdAtMs - a.createdAtMs
  );
}
