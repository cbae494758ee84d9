import { type JsonObject, readList, readNumber, readOptionalObject, readText } from "../json.js";

/** What a node or a task uses now. */
export interface Usage {
  /** In percent of one CPU. */
  readonly cpuPercent: number;
  readonly memoryBytes: number;
}

/** The usage of nodes and tasks, by ID. A node or task whose usage is not known is missing. */
export interface ClusterUsage {
  readonly nodes: ReadonlyMap<string, Usage>;
  readonly tasks: ReadonlyMap<string, Usage>;
}

/** Reads a message of `WatchStats`. */
export function decodeClusterUsage(json: JsonObject): ClusterUsage {
  return {
    nodes: usagesOf(readList(json, "nodes"), (node) => [
      readText(node, "nodeId"),
      readOptionalObject(readOptionalObject(node, "stats") ?? {}, "usage"),
    ]),
    tasks: usagesOf(readList(json, "tasks"), (task) => [
      readText(task, "taskId"),
      readOptionalObject(task, "usage"),
    ]),
  };
}

function usagesOf(
  list: readonly JsonObject[],
  read: (item: JsonObject) => readonly [id: string, usage: JsonObject | undefined],
): ReadonlyMap<string, Usage> {
  const usages = new Map<string, Usage>();
  for (const item of list) {
    const [id, usage] = read(item);
    if (usage === undefined) continue;
    usages.set(id, {
      cpuPercent: readNumber(usage, "cpuPercent"),
      memoryBytes: readNumber(usage, "memoryBytes"),
    });
  }
  return usages;
}
