import type { NodeView } from "../model.js";
import { bytesText, cpusText, nodesText } from "../words.js";
import type { Filter, TaskRequirements } from "./filters.js";

/** How many tasks of the need still fit: each of these filters gives a number rather than yes or no. */
export function roomFilters({ resources: demand, maxPerNode }: TaskRequirements): readonly Filter[] {
  const { nanoCpus, memoryBytes, pids, generic } = demand;
  return [
    ...(maxPerNode === Number.POSITIVE_INFINITY ? [] : [limitFilter(maxPerNode)]),
    ...(nanoCpus > 0 ? [cpuFilter(nanoCpus)] : []),
    ...(memoryBytes > 0 ? [memoryFilter(memoryBytes)] : []),
    ...(pids > 0 ? [pidsFilter(pids)] : []),
    ...Array.from(generic, ([kind, each]) => genericFilter(kind, each)),
  ];
}

function limitFilter(maxPerNode: number): Filter {
  const tasks = maxPerNode === 1 ? "1 task" : `${maxPerNode} tasks`;
  return {
    name: "max-replicas",
    capacity: (_node, held) => Math.max(0, maxPerNode - held),
    explain: (count) =>
      `${nodesText(count, { one: "has", many: "have" })} the ${tasks} of the service allowed per node`,
  };
}

const cpuFilter = (each: number): Filter => ({
  name: "cpu",
  capacity: ({ node, reserved }) => fitting((node.description?.nanoCpus ?? 0) - reserved.nanoCpus, each),
  explain: (count) => lacks(count, cpusText(each)),
});

const memoryFilter = (each: number): Filter => ({
  name: "memory",
  capacity: ({ node, reserved }) =>
    fitting((node.description?.memoryBytes ?? 0) - reserved.memoryBytes, each),
  explain: (count) => lacks(count, `${bytesText(each)} of memory`),
});

const pidsFilter = (each: number): Filter => ({
  name: "pids",
  capacity: (view) => fitting(freePids(view), each),
  explain: (count) => lacks(count, each === 1 ? "room for 1 process" : `room for ${each} processes`),
});

const genericFilter = (kind: string, each: number): Filter => ({
  name: "generic",
  capacity: ({ node, reserved }) =>
    fitting((node.description?.generic[kind] ?? 0) - (reserved.generic.get(kind) ?? 0), each),
  explain: (count) => lacks(count, `${each} ${kind}`),
});

/** A host that names no limit of processes has room for any number. */
function freePids({ node, reserved }: NodeView): number {
  const capacity = node.description?.pids ?? 0;
  return capacity === 0 ? Number.POSITIVE_INFINITY : capacity - reserved.pids;
}

const fitting = (free: number, each: number): number => Math.max(0, Math.floor(free / each));

const lacks = (count: number, what: string): string =>
  `${nodesText(count, { one: "lacks", many: "lack" })} ${what}`;
