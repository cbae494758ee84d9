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
 * Reports dependency cycles between the services of a stack, with the positions of their dependencies. Of cycles that
 * share a service, reports only one. The services of a cycle would wait for each other forever.
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
    for (const { to } of inside) {
      const known = dependents.get(to);
      if (known === undefined) {
        dependents.set(to, [name]);
      } else {
        known.push(name);
      }
    }
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
  /** Index in `path` of the edge from each service. */
  const seen = new Map<string, number>();
  let [name = ""] = graph.keys();
  for (;;) {
    const cycleStart = seen.get(name);
    if (cycleStart !== undefined) return path.slice(cycleStart);
    const edge = graph.get(name)?.find(({ to }) => graph.has(to));
    if (edge === undefined) throw new Error(`service ${name} has no dependency in a graph without leaves`);
    seen.set(name, path.length);
    path.push(edge);
    name = edge.to;
  }
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
