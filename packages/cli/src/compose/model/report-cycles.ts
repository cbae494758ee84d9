import type { Diagnostics, Place } from "../text/diagnostics.js";
import { lineColumn } from "../text/source.js";

/** A dependency of one service on another, and its place in the file. */
export interface DependencyEdge {
  readonly from: string;
  readonly to: string;
  readonly place: Place;
}

/** The dependencies of each service, by its name. */
type Graph = ReadonlyMap<string, readonly DependencyEdge[]>;

/**
 * Reports an error for each dependency cycle between the services of a stack, with the positions of its dependencies.
 * The services of a cycle would wait for each other forever.
 */
export function reportCycles(graph: Graph, diagnostics: Diagnostics): void {
  let remaining = removeLeaves(graph);
  while (remaining.size > 0) {
    const cycle = findCycle(remaining);
    reportCycle(cycle, diagnostics);
    const reported = new Set(cycle.map(({ from }) => from));
    remaining = removeLeaves(new Map([...remaining].filter(([name]) => !reported.has(name))));
  }
}

/** Removes services without dependencies until none is left. Every remaining service can reach a cycle. */
function removeLeaves(graph: Graph): Graph {
  const remaining = new Map(graph);
  const dependents = new Map<string, string[]>();
  const dependencyCounts = new Map<string, number>();
  const leaves: string[] = [];
  for (const [name, edges] of graph) {
    const inside = edges.filter(({ to }) => graph.has(to));
    for (const { to } of inside) dependents.set(to, [...(dependents.get(to) ?? []), name]);
    dependencyCounts.set(name, inside.length);
    if (inside.length === 0) leaves.push(name);
  }
  for (let name = leaves.pop(); name !== undefined; name = leaves.pop()) {
    remaining.delete(name);
    for (const dependent of dependents.get(name) ?? []) {
      const count = (dependencyCounts.get(dependent) ?? 0) - 1;
      dependencyCounts.set(dependent, count);
      if (count === 0) leaves.push(dependent);
    }
  }
  return remaining;
}

/** Follows the edges of a graph without leaves until a service repeats, and returns the edges of that cycle. */
function findCycle(graph: Graph): readonly DependencyEdge[] {
  const path: DependencyEdge[] = [];
  const seen = new Map<string, number>();
  const [start = ""] = graph.keys();
  for (let name = start; !seen.has(name); ) {
    const edge = graph.get(name)?.find(({ to }) => graph.has(to));
    if (edge === undefined) return path;
    seen.set(name, path.length);
    path.push(edge);
    name = edge.to;
    const cycleStart = seen.get(name);
    if (cycleStart !== undefined) return path.slice(cycleStart);
  }
  return path;
}

function reportCycle(cycle: readonly DependencyEdge[], diagnostics: Diagnostics): void {
  const [first] = cycle;
  if (first === undefined) return;
  const steps = cycle.map(({ from, place: { position } }) => {
    const { line, column } = lineColumn(position);
    return `${from} (${position.source.name}:${line}:${column})`;
  });
  const path = [...steps, first.from].join(" -> ");
  diagnostics.error(first.place, `dependency cycle: ${path}`);
}
