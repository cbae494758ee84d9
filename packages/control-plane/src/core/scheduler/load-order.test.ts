import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { NodeSnapshot } from "../model/snapshot.js";
import { buildNode, buildNodeSnapshot, buildReservation, CPU } from "../testing/records.js";
import { LoadOrder } from "./load-order.js";

const NODES = 30;

/** What happens to the nodes, by number; the order is asked for after each batch. */
const batches = fc.array(
  fc.array(
    fc.record({
      node: fc.nat(NODES - 1),
      kind: fc.constantFrom("put", "load", "load", "touch", "delete"),
      tasks: fc.nat(3),
      cpus: fc.nat(3),
    }),
    { maxLength: 12 },
  ),
  { maxLength: 20 },
);

interface Mutable {
  taskCount: number;
  reserved: NodeSnapshot["reserved"];
}

function snapshotOf(number: number): NodeSnapshot & Mutable {
  // IDs that only their ends tell apart, some of them too long for their rank.
  const id = number % 2 === 0 ? `node-with-a-long-name-${number}` : `n${number}`;
  return { ...buildNodeSnapshot({ node: buildNode({ id }) }) };
}

describe("LoadOrder", () => {
  it("returns the nodes as a new sort would, after any changes (property)", () => {
    fc.assert(
      fc.property(batches, (all) => {
        const order = new LoadOrder();
        const snapshots = new Map<number, NodeSnapshot & Mutable>();
        for (const batch of all) {
          for (const { node, kind, tasks, cpus } of batch) {
            const known = snapshots.get(node);
            if (kind === "put" || known === undefined) {
              const snapshot = snapshotOf(node);
              snapshots.set(node, snapshot);
              order.put(snapshot);
            } else if (kind === "delete") {
              snapshots.delete(node);
              order.delete(known.node.id);
            } else {
              if (kind === "load") {
                known.taskCount = tasks;
                known.reserved = buildReservation({ nanoCpus: cpus * CPU });
              }
              order.touch(known.node.id);
            }
          }
          const sorted = [...snapshots.values()].sort(byLoad).map((snapshot) => snapshot.node.id);
          expect(order.inOrder().map(({ id }) => id)).toEqual(sorted);
          expect(order.inOrder().every(({ id, snapshot }) => snapshot.node.id === id)).toBe(true);
        }
      }),
    );
  });

  it("ignores nodes that were not added", () => {
    const order = new LoadOrder();
    order.touch("n1");
    order.delete("n1");
    expect(order.inOrder()).toEqual([]);
  });
});

/** All have as many processors and as much memory, and reserve none of the latter. */
function byLoad(a: NodeSnapshot, b: NodeSnapshot): number {
  const difference = a.reserved.nanoCpus - b.reserved.nanoCpus || a.taskCount - b.taskCount;
  if (difference !== 0) return difference;
  return a.node.id < b.node.id ? -1 : 1;
}
