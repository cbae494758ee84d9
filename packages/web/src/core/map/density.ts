/** How much the map shows of each task: its name and state, a symbol, or a dot. */
export type Density = "comfortable" | "compact" | "dense";

export const DENSITIES: readonly Density[] = ["comfortable", "compact", "dense"];

/** Largest number of tasks and nodes that fit onto a screen with names. */
const COMFORTABLE = { tasks: 120, nodes: 24 };
/** Largest number of tasks and nodes that fit onto a screen with symbols. */
const COMPACT = { tasks: 900, nodes: 100 };

/** Returns the density at which the whole cluster fits onto about one screen. */
export function automaticDensity(nodes: number, tasks: number): Density {
  if (nodes <= COMFORTABLE.nodes && tasks <= COMFORTABLE.tasks) return "comfortable";
  return nodes <= COMPACT.nodes && tasks <= COMPACT.tasks ? "compact" : "dense";
}
