import { scopedName } from "@berth/proto";
import type { Diagnostics, Place } from "./text/diagnostics.js";
import { lineColumn } from "./text/source.js";
import type { TranslatedService } from "./translate-service.js";

/** A service, the one it waits for, and where that is said. */
interface Edge {
  readonly stack: string;
  readonly from: string;
  readonly to: string;
  readonly place: Place;
}

/**
 * Reports services that wait for each other in a circle, which none of them would ever leave: one error a circle,
 * where its first service is told to wait, naming the other places.
 */
export function reportCycles(services: readonly TranslatedService[], diagnostics: Diagnostics): void {
  const waiting = new Map(services.map((service) => [service.spec.name, edgesOf(service)]));
  for (let left = withoutLeaves(waiting); left.size > 0; left = withoutLeaves(left)) {
    const cycle = findCycle(left);
    reportCycle(cycle, diagnostics);
    left = new Map([...left].filter(([name]) => !cycle.some(({ from }) => from === name)));
  }
}

type Graph = ReadonlyMap<string, readonly Edge[]>;

function edgesOf({ spec, origins }: TranslatedService): readonly Edge[] {
  return spec.dependsOn.flatMap(({ service }, index) => {
    const place = origins.get(`depends_on[${index}]`);
    // That a service waits for itself is told with the service.
    return place === undefined || service === spec.name
      ? []
      : [{ stack: spec.stack, from: spec.name, to: service, place }];
  });
}

/** What is left of a graph when services that wait for nothing that is left are taken out, again and again. */
function withoutLeaves(graph: Graph): Graph {
  const left = new Map(graph);
  const waiters = new Map<string, string[]>();
  const open = new Map<string, number>();
  const free: string[] = [];
  for (const [name, edges] of graph) {
    const inside = edges.filter(({ to }) => graph.has(to));
    for (const { to } of inside) waiters.set(to, [...(waiters.get(to) ?? []), name]);
    open.set(name, inside.length);
    if (inside.length === 0) free.push(name);
  }
  for (let name = free.pop(); name !== undefined; name = free.pop()) {
    left.delete(name);
    for (const waiter of waiters.get(name) ?? []) {
      const count = (open.get(waiter) ?? 0) - 1;
      open.set(waiter, count);
      if (count === 0) free.push(waiter);
    }
  }
  return left;
}

/** Follows the edges of a graph in which every service waits for one of it, until one comes again. */
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
    const again = seen.get(name);
    if (again !== undefined) return path.slice(again);
  }
  return path;
}

function reportCycle(cycle: readonly Edge[], diagnostics: Diagnostics): void {
  const [first] = cycle;
  if (first === undefined) return;
  const steps = cycle.map(({ place: { at }, ...edge }) => {
    const { line, column } = lineColumn(at);
    return `${shortName(edge)} (${at.source.name}:${line}:${column})`;
  });
  const circle = [...steps, shortName(first)].join(" waits for ");
  diagnostics.error(first.place, `these services wait for each other: ${circle}`);
}

/** As the file calls it. */
function shortName({ stack, from }: Pick<Edge, "stack" | "from">): string {
  return from.slice(scopedName(stack, "").length);
}
