import {
  assertNever,
  type ResourceUsage,
  type WatchedNodeStats,
  type WatchedTaskStats,
  type WatchStatsResponse,
} from "@berth/proto";
import { formatBytes } from "./human.js";
import { shortId } from "./services.js";
import { type Column, formatTable, truncate } from "./table.js";

/** The column by which tasks are sorted. */
export type StatsSort = "cpu" | "mem" | "net";

export interface StatsLinesOptions {
  readonly sort: StatsSort;
  /** Maximum number of lines. Unlimited when undefined. */
  readonly rows?: number;
  readonly columns?: number;
}

/** Formats a table of the nodes and a table of the tasks, in descending order of usage. */
export function statsLines(
  { nodes, tasks, omittedTasks }: WatchStatsResponse,
  { sort, rows = Number.POSITIVE_INFINITY, columns = Number.POSITIVE_INFINITY }: StatsLinesOptions,
): readonly string[] {
  const nodeLines = [...splitLines(formatTable(NODE_COLUMNS, nodes)), ""];
  const taskLines = splitLines(formatTable(TASK_COLUMNS, sortTasks(tasks, sort)));
  const all = [...nodeLines, ...taskLines];
  if (all.length <= rows && omittedTasks === 0) return all.map((line) => truncate(line, columns));
  // The last line shows the number of hidden lines.
  const visible = all.slice(0, Math.max(0, rows - 1));
  const hiddenCount = all.length - visible.length + omittedTasks;
  return [...visible, `… ${hiddenCount} more`].map((line) => truncate(line, columns));
}

/** Returns the JSON of one sample. */
export function statsJson({ nodes, tasks }: WatchStatsResponse, sort: StatsSort): unknown {
  return {
    nodes: nodes.map(({ nodeId, hostname, stats, tasks: count }) => ({
      id: nodeId,
      hostname,
      cpus: stats?.cpus ?? null,
      memoryTotalBytes: stats?.memoryTotalBytes ?? null,
      tasks: count,
      ...usageJson(stats?.usage),
    })),
    tasks: sortTasks(tasks, sort).map(
      ({ taskId, serviceName, slot, nodeHostname, usage, memoryLimitBytes }) => ({
        id: taskId,
        service: serviceName,
        slot,
        node: nodeHostname,
        memoryLimitBytes: memoryLimitBytes || null,
        ...usageJson(usage),
      }),
    ),
  };
}

function usageJson(usage: ResourceUsage | undefined) {
  return {
    cpuPercent: usage?.cpuPercent ?? null,
    memoryBytes: usage?.memoryBytes ?? null,
    receivedBytesPerSecond: usage?.receivedBytesPerSecond ?? null,
    sentBytesPerSecond: usage?.sentBytesPerSecond ?? null,
  };
}

function sortTasks(tasks: readonly WatchedTaskStats[], sort: StatsSort): readonly WatchedTaskStats[] {
  return [...tasks].sort((a, b) => sortValue(b.usage, sort) - sortValue(a.usage, sort));
}

function sortValue(usage: ResourceUsage | undefined, sort: StatsSort): number {
  if (usage === undefined) return -1;
  switch (sort) {
    case "cpu":
      return usage.cpuPercent;
    case "mem":
      return usage.memoryBytes;
    case "net":
      return usage.receivedBytesPerSecond + usage.sentBytesPerSecond;
    default:
      return assertNever(sort);
  }
}

const NODE_COLUMNS: readonly Column<WatchedNodeStats>[] = [
  { title: "NODE", cell: ({ hostname }) => hostname },
  { title: "CPU %", cell: ({ stats }) => percentText(stats?.usage) },
  { title: "CPUS", cell: ({ stats }) => (stats === undefined ? "" : String(stats.cpus)) },
  { title: "MEMORY", cell: ({ stats }) => memoryText(stats?.usage, stats?.memoryTotalBytes ?? 0) },
  { title: "NET IN/S", cell: ({ stats }) => rateText(stats?.usage?.receivedBytesPerSecond) },
  { title: "NET OUT/S", cell: ({ stats }) => rateText(stats?.usage?.sentBytesPerSecond) },
  { title: "TASKS", cell: ({ stats, tasks }) => (stats === undefined ? "unavailable" : String(tasks)) },
];

const TASK_COLUMNS: readonly Column<WatchedTaskStats>[] = [
  { title: "TASK", cell: taskName },
  { title: "NODE", cell: ({ nodeHostname }) => nodeHostname },
  { title: "CPU %", cell: ({ usage }) => percentText(usage) },
  { title: "MEMORY", cell: ({ usage, memoryLimitBytes }) => memoryText(usage, memoryLimitBytes) },
  { title: "NET IN/S", cell: ({ usage }) => rateText(usage?.receivedBytesPerSecond) },
  { title: "NET OUT/S", cell: ({ usage }) => rateText(usage?.sentBytesPerSecond) },
];

function taskName({ serviceName, slot, taskId }: WatchedTaskStats): string {
  return `${serviceName}${slot === 0 ? "" : `.${slot}`}.${shortId(taskId)}`;
}

function percentText(usage: ResourceUsage | undefined): string {
  return usage === undefined ? "-" : usage.cpuPercent.toFixed(1);
}

function memoryText(usage: ResourceUsage | undefined, limitBytes: number): string {
  if (usage === undefined) return "-";
  return limitBytes === 0
    ? formatBytes(usage.memoryBytes)
    : `${formatBytes(usage.memoryBytes)} / ${formatBytes(limitBytes)}`;
}

function rateText(bytesPerSecond: number | undefined): string {
  return bytesPerSecond === undefined ? "-" : formatBytes(Math.round(bytesPerSecond));
}

function splitLines(table: string): readonly string[] {
  return table.trimEnd().split("\n");
}
