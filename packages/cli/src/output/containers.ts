import { Health, type NodeSummary, type ServiceSummary, type Task, TaskState } from "@berth/proto";
import type { FilterTable } from "../options/filters.js";
import { formatDuration, formatTimeSince } from "./human.js";
import type { Listing } from "./print.js";
import { shortId } from "./services.js";
import { capitalize, healthName, protocolName, TASK_STATE_NAMES, taskStateName } from "./state-names.js";
import { truncate } from "./table.js";
import { hasEnded, taskName, taskState } from "./task-text.js";
import { type TaskRow, taskRows } from "./tasks.js";

/** Maximum width of a command, as in `docker ps`. */
const MAX_COMMAND_WIDTH = 20;

/** A task with the details that `docker ps` shows. */
export interface ContainerRow extends TaskRow {
  /** The command of the spec. Empty for the image's default, or if the service has a different template now. */
  readonly command: string;
  readonly isRunning: boolean;
}

export interface ContainerSources {
  readonly tasks: readonly Task[];
  readonly services: readonly ServiceSummary[];
  readonly nodes: readonly NodeSummary[];
}

/** Returns the tasks, the newest first. */
export function containerRows(sources: ContainerSources): readonly ContainerRow[] {
  const commands = new Map(
    sources.services.map(({ service }) => {
      const { entrypoint, command } = service?.spec?.task?.container ?? {};
      return [service?.id ?? "", [...(entrypoint?.values ?? []), ...(command?.values ?? [])].join(" ")];
    }),
  );
  return taskRows(sources)
    .map((row) => ({
      ...row,
      command: row.image === "" ? "" : (commands.get(row.task.serviceId) ?? ""),
      isRunning: taskState(row.task) === TaskState.RUNNING || taskState(row.task) === TaskState.STARTING,
    }))
    .toSorted((a, b) => b.task.createdAtMs - a.task.createdAtMs || a.task.id.localeCompare(b.task.id));
}

/** Describes the output of `berth ps`: the columns of `docker ps` and the node, and JSON. */
export function containerListing(
  rows: readonly ContainerRow[],
  { nowMs, noTrunc }: { readonly nowMs: number; readonly noTrunc: boolean },
): Listing<ContainerRow> {
  return {
    rows,
    id: ({ task }) => task.id,
    json: containerJson,
    columns: [
      { title: "TASK ID", cell: ({ task }) => (noTrunc ? task.id : shortId(task.id)) },
      { title: "IMAGE", cell: ({ image }) => image },
      { title: "COMMAND", cell: ({ command }) => commandText(command, noTrunc) },
      { title: "CREATED", cell: ({ task }) => formatTimeSince(task.createdAtMs, nowMs) },
      { title: "STATUS", cell: ({ task }) => statusText(task, nowMs) },
      { title: "PORTS", cell: ({ task }) => portsText(task) },
      { title: "NODE", cell: ({ node }) => node },
      { title: "NAMES", cell: ({ task }) => taskName(task) },
    ],
  };
}

export const PS_FILTERS: FilterTable<ContainerRow> = {
  id: { matches: ({ task }, value) => task.id.startsWith(value) },
  name: { matches: ({ task }, value) => taskName(task).includes(value) },
  node: { matches: ({ task, node }, value) => task.nodeId.startsWith(value) || node === value },
  service: { matches: ({ task }, value) => task.serviceName === value || task.serviceId.startsWith(value) },
  stack: { matches: ({ task }, value) => task.stack === value },
  status: {
    values: TASK_STATE_NAMES,
    matches: ({ task }, value) => taskStateName(taskState(task)) === value,
  },
};

function commandText(command: string, noTrunc: boolean): string {
  if (command === "") return "";
  return noTrunc ? JSON.stringify(command) : `"${truncate(command, MAX_COMMAND_WIDTH)}"`;
}

/** Returns `Up 3 minutes (healthy)` or `Exited (1) 2 hours ago`, as `docker ps` does, or the state before a start. */
function statusText(task: Task, nowMs: number): string {
  const { status } = task;
  const state = taskState(task);
  const since = status?.sinceMs ? formatTimeSince(status.sinceMs, nowMs) : "";
  if (hasEnded(task)) {
    if (status?.exitCode !== undefined) return `Exited (${status.exitCode}) ${since}`.trim();
    return `${capitalize(taskStateName(state))} ${since}`.trim();
  }
  if (state !== TaskState.RUNNING && state !== TaskState.STARTING) return capitalize(taskStateName(state));
  const upSince = status?.runningSinceMs ?? status?.sinceMs ?? nowMs;
  const health = status?.health ?? Health.UNSPECIFIED;
  const note = health === Health.UNSPECIFIED ? "" : ` (${healthNote(health)})`;
  return `Up ${formatDuration(Math.max(0, nowMs - upSince))}${note}`;
}

/** The node of a task with unknown health is down. */
function healthNote(health: Health): string {
  if (health === Health.STARTING) return "health: starting";
  return health === Health.UNKNOWN ? "unreachable" : healthName(health);
}

function portsText({ status }: Task): string {
  return (status?.ports ?? [])
    .map(({ hostPort, target, protocol }) => `*:${hostPort}->${target}/${protocolName(protocol)}`)
    .join(", ");
}

function containerJson({ task, image, node, command }: ContainerRow): unknown {
  const { status } = task;
  return {
    id: task.id,
    name: taskName(task),
    service: task.serviceName,
    stack: task.stack,
    image,
    command,
    node,
    nodeId: task.nodeId,
    containerId: status?.containerId ?? "",
    state: taskStateName(taskState(task)),
    health: healthName(status?.health ?? Health.UNSPECIFIED),
    exitCode: status?.exitCode ?? null,
    message: status?.message ?? "",
    createdAtMs: task.createdAtMs,
    sinceMs: status?.sinceMs ?? 0,
    ports: (status?.ports ?? []).map(({ protocol, target, hostPort }) => ({
      target,
      hostPort,
      protocol: protocolName(protocol),
    })),
  };
}
