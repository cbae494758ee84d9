import { scopedName } from "@berth/proto";
import type { Diagnostics, Place } from "./text/diagnostics.js";
import { lineColumn } from "./text/source.js";
import type { TranslatedService } from "./translate-service.js";

/** A dependency of one service on another, and its place in the file. */
interface Edge {
  readonly stack: string;
  readonly from: string;
  readonly to: string;
  readonly place: Place;
}

/**
 * Reports dependency cycles, whose services would wait for each other forever. Each cycle is one error at its first
 * dependency, with the places of all of them.
 */
export function reportCycles(services: readonly TranslatedService[], diagnostics: Diagnostics): void {
  const graph = new Map(services.map((service) => [service.spec.name, edgesOf(service)]));
  for (let left = withoutLeaves(graph); left.size > 0; left = withoutLeaves(left)) {
    const cycle = findCycle(left);
    reportCycle(cycle, diagnostics);
    left = new Map([...left].filter(([name]) => !cycle.some(({ from }) => from === name)));
  }
}

type Graph = ReadonlyMap<string, readonly Edge[]>;

function edgesOf({ spec, origins }: TranslatedService): readonly Edge[] {
  return spec.dependsOn.flatMap(({ service }, index) => {
    const place = origins.get(`depends_on[${index}]`);
    // The validation of the service reports a dependency on itself.
    return place === undefined || service === spec.name
      ? []
      : [{ stack: spec.stack, from: spec.name, to: service, place }];
  });
}

/** Returns the graph without services that have no dependencies in it, removed repeatedly. */
function withoutLeaves(graph: Graph): Graph {
  const rest = new Map(graph);
  const dependents = new Map<string, string[]>();
  const open = new Map<string, number>();
  const leaves: string[] = [];
  for (const [name, edges] of graph) {
    const inside = edges.filter(({ to }) => graph.has(to));
    for (const { to } of inside) dependents.set(to, [...(dependents.get(to) ?? []), name]);
    open.set(name, inside.length);
    if (inside.length === 0) leaves.push(name);
  }
  for (let name = leaves.pop(); name !== undefined; name = leaves.pop()) {
    rest.delete(name);
    for (const dependent of dependents.get(name) ?? []) {
      const count = (open.get(dependent) ?? 0) - 1;
      open.set(dependent, count);
      if (count === 0) leaves.push(dependent);
    }
  }
  return rest;
}

/** Follows the edges of a graph without leaves until a service repeats, and returns the edges of that cycle. */
function findCycle(graph: Graph): readonly Edge[] {
  const path: Edge[] = [];
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

function reportCycle(cycle: readonly Edge[], diagnostics: Diagnostics): void {
  const [first] = cycle;
  if (first === undefined) return;
  const steps = cycle.map(({ place: { position }, ...edge }) => {
    const { line, column } = lineColumn(position);
    return `${shortName(edge)} (${position.source.name}:${line}:${column})`;
  });
  const path = [...steps, shortName(first)].join(" -> ");
  diagnostics.error(first.place, `dependency cycle: ${path}`);
}

/** Returns the name of the service in the file. */
function shortName({ stack, from }: Pick<Edge, "stack" | "from">): string {
  return from.slice(scopedName(stack, "").length);
}
