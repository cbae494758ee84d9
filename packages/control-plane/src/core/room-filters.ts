import type { Filter, Need } from "./filters.js";
import type { NodeView } from "./model.js";
import { bytesText, cpusText, nodesText } from "./words.js";

/** How many tasks of the need still fit: each of these filters gives a number rather than yes or no. */
export function roomFilters({ demand, maxPerNode }: Need): readonly Filter[] {
  const filters: Filter[] = [];
  if (maxPerNode !== Number.POSITIVE_INFINITY) filters.push(limitFilter(maxPerNode));
  if (demand.nanoCpus > 0) {
    filters.push(
      resourceFilter({
        name: "cpu",
        each: demand.nanoCpus,
        free: ({ node, reserved }) => (node.description?.nanoCpus ?? 0) - reserved.nanoCpus,
        words: cpusText(demand.nanoCpus),
      }),
    );
  }
  if (demand.memoryBytes > 0) {
    filters.push(
      resourceFilter({
        name: "memory",
        each: demand.memoryBytes,
        free: ({ node, reserved }) => (node.description?.memoryBytes ?? 0) - reserved.memoryBytes,
        words: `${bytesText(demand.memoryBytes)} of memory`,
      }),
    );
  }
  if (demand.pids > 0) {
    filters.push(
      resourceFilter({
        name: "pids",
        each: demand.pids,
        free: freePids,
        words: demand.pids === 1 ? "room for 1 process" : `room for ${demand.pids} processes`,
      }),
    );
  }
  for (const [kind, each] of demand.generic) {
    filters.push(
      resourceFilter({
        name: "generic",
        each,
        free: ({ node, reserved }) =>
          (node.description?.generic[kind] ?? 0) - (reserved.generic.get(kind) ?? 0),
        words: `${each} ${kind}`,
      }),
    );
  }
  return filters;
}

/** A host that names no limit of processes has room for any number. */
function freePids({ node, reserved }: NodeView): number {
  const capacity = node.description?.pids ?? 0;
  return capacity === 0 ? Number.POSITIVE_INFINITY : capacity - reserved.pids;
}

function limitFilter(maxPerNode: number): Filter {
  const tasks = maxPerNode === 1 ? "1 task" : `${maxPerNode} tasks`;
  return {
    name: "max-replicas",
    room: (_node, held) => Math.max(0, maxPerNode - held),
    explain: (count) =>
      `${nodesText(count, { one: "has", many: "have" })} the ${tasks} of the service allowed per node`,
  };
}

function resourceFilter(resource: {
  readonly name: string;
  /** What one task takes; above 0. */
  readonly each: number;
  readonly free: (node: NodeView) => number;
  readonly words: string;
}): Filter {
  return {
    name: resource.name,
    room: (node) => Math.max(0, Math.floor(resource.free(node) / resource.each)),
    explain: (count) => `${nodesText(count, { one: "lacks", many: "lack" })} ${resource.words}`,
  };
}
