import type { NodeSnapshot } from "../model/snapshot.js";

/** One reason why a node may not accept tasks of a service. */
export interface Filter {
  readonly name: string;
  /** Returns how many more tasks this filter allows on the node: 0, a number, or Infinity. */
  readonly capacity: (node: NodeSnapshot, occupiedByService: number) => number;
  /** Explains to the user why the filter excludes `count` nodes. */
  readonly explain: (count: number) => string;
}

/** A filter that either excludes a node or allows any number of tasks on it. */
export interface PassFilter {
  readonly name: string;
  readonly passes: (node: NodeSnapshot) => boolean;
  readonly explain: (count: number) => string;
}

/** Returns the filter with a capacity of 0 or Infinity. */
export function passFilter({ name, passes, explain }: PassFilter): Filter {
  return { name, capacity: (node) => (passes(node) ? Number.POSITIVE_INFINITY : 0), explain };
}
