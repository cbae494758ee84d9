import type { Load, WatchedNodeLoad, WatchedTaskLoad, WatchLoadResponse } from "@berth/proto";
import { humanBytes } from "./human.js";
import { shortId } from "./services.js";
import { type Column, formatTable, truncate } from "./table.js";

const SORTS = ["cpu", "mem", "net"] as const;

export type LoadSort = (typeof SORTS)[number];

export function isLoadSort(text: string): text is LoadSort {
  return SORTS.some((sort) => sort === text);
}

export interface LoadLinesOptions {
  readonly sort: LoadSort;
  /** What fits; all of it when absent. */
  readonly rows?: number;
  readonly columns?: number;
}

/** A table of the nodes, and one of the tasks, the busiest first. */
export function loadLines(
  { nodes, tasks, moreTasks }: WatchLoadResponse,
  { sort, rows = Number.POSITIVE_INFINITY, columns = Number.POSITIVE_INFINITY }: LoadLinesOptions,
): readonly string[] {
  const above = [...linesOf(formatTable(NODE_COLUMNS, nodes)), ""];
  const below = linesOf(formatTable(TASK_COLUMNS, sorted(tasks, sort)));
  const all = [...above, ...below];
  const hidden = Math.max(0, all.length - rows) + moreTasks;
  // The last line says what does not fit.
  const shown = hidden === 0 ? all : all.slice(0, Math.max(0, rows - 1));
  const lines = hidden === 0 ? shown : [...shown, `… ${hidden + Number(all.length > rows)} more`];
  return lines.map((line) => truncate(line, columns));
}

/** What `-o json` prints of one look. */
export function loadJson({ nodes, tasks }: WatchLoadResponse, sort: LoadSort): unknown {
  return {
    nodes: nodes.map(({ nodeId, hostname, load, tasks: count }) => ({
      id: nodeId,
      hostname,
      cpus: load?.cpus ?? null,
      memoryTotalBytes: load?.memoryTotalBytes ?? null,
      tasks: count,
      ...loadFacts(load?.load),
    })),
    tasks: sorted(tasks, sort).map(({ taskId, serviceName, slot, nodeHostname, load, memoryLimitBytes }) => ({
      id: taskId,
      service: serviceName,
      slot,
      node: nodeHostname,
      memoryLimitBytes: memoryLimitBytes || null,
      ...loadFacts(load),
    })),
  };
}

function loadFacts(load: Load | undefined) {
  return {
    cpuPercent: load?.cpuPercent ?? null,
    memoryBytes: load?.memoryBytes ?? null,
    receivedBytesPerSecond: load?.receivedBytesPerSecond ?? null,
    sentBytesPerSecond: load?.sentBytesPerSecond ?? null,
  };
}

function sorted(tasks: readonly WatchedTaskLoad[], sort: LoadSort): readonly WatchedTaskLoad[] {
  return [...tasks].sort((a, b) => measureOf(b.load, sort) - measureOf(a.load, sort));
}

function measureOf(load: Load | undefined, sort: LoadSort): number {
  if (load === undefined) return -1;
  switch (sort) {
    case "cpu":
      return load.cpuPercent;
    case "mem":
      return load.memoryBytes;
    case "net":
      return load.receivedBytesPerSecond + load.sentBytesPerSecond;
  }
}

const NODE_COLUMNS: readonly Column<WatchedNodeLoad>[] = [
  { title: "NODE", cell: ({ hostname }) => hostname },
  { title: "CPU %", cell: ({ load }) => percentText(load?.load) },
  { title: "CPUS", cell: ({ load }) => (load === undefined ? "" : String(load.cpus)) },
  { title: "MEMORY", cell: ({ load }) => memoryText(load?.load, load?.memoryTotalBytes ?? 0) },
  { title: "NET IN/S", cell: ({ load }) => rateText(load?.load?.receivedBytesPerSecond) },
  { title: "NET OUT/S", cell: ({ load }) => rateText(load?.load?.sentBytesPerSecond) },
  { title: "TASKS", cell: ({ load, tasks }) => (load === undefined ? "does not tell" : String(tasks)) },
];

const TASK_COLUMNS: readonly Column<WatchedTaskLoad>[] = [
  { title: "TASK", cell: taskName },
  { title: "NODE", cell: ({ nodeHostname }) => nodeHostname },
  { title: "CPU %", cell: ({ load }) => percentText(load) },
  { title: "MEMORY", cell: ({ load, memoryLimitBytes }) => memoryText(load, memoryLimitBytes) },
  { title: "NET IN/S", cell: ({ load }) => rateText(load?.receivedBytesPerSecond) },
  { title: "NET OUT/S", cell: ({ load }) => rateText(load?.sentBytesPerSecond) },
];

function taskName({ serviceName, slot, taskId }: WatchedTaskLoad): string {
  return `${serviceName}${slot === 0 ? "" : `.${slot}`}.${shortId(taskId)}`;
}

function percentText(load: Load | undefined): string {
  return load === undefined ? "-" : load.cpuPercent.toFixed(1);
}

function memoryText(load: Load | undefined, limitBytes: number): string {
  if (load === undefined) return "-";
  return limitBytes === 0
    ? humanBytes(load.memoryBytes)
    : `${humanBytes(load.memoryBytes)} / ${humanBytes(limitBytes)}`;
}

function rateText(bytesPerSecond: number | undefined): string {
  return bytesPerSecond === undefined ? "-" : humanBytes(Math.round(bytesPerSecond));
}

function linesOf(table: string): readonly string[] {
  return table.trimEnd().split("\n");
}
