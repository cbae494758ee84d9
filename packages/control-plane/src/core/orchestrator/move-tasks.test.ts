import { Availability, UpdateConfig_Order } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { isReady } from "../model/task-state.js";
import { buildSpec } from "../testing/records.js";
import { buildNodes, World } from "../testing/world.js";

const { START_FIRST, STOP_FIRST } = UpdateConfig_Order;

/** Three tasks on two nodes, and a third node that came later. */
function worldWith(order: UpdateConfig_Order, check: (world: World) => void = () => undefined): World {
  const nodes = buildNodes(3);
  const spec = buildSpec({
    mode: { $case: "replicated", value: { replicas: 3 } },
    update: { order, parallelism: 1 },
  });
  const world: World = new World({ spec, nodes: nodes.slice(0, 2), observe: () => check(world) });
  world.settleOverTime();
  for (const node of nodes) world.nodes.set(node.id, node);
  return world;
}

function askToMove(world: World, slot: number, moveTo: string): void {
  for (const task of world.occupying()) {
    if (task.slot === slot) world.tasks.set(task.id, { ...task, preferredNodeId: moveTo });
  }
}

const nodesOf = (world: World): ReadonlyMap<number, string> =>
  new Map(world.occupying().map((task) => [task.slot, task.nodeId]));

describe("a task with a requested move", () => {
  it.each([START_FIRST, STOP_FIRST])(
    "a task with a requested move is replaced on the requested node (order %i)",
    (order) => {
      const world = worldWith(order);
      const before = nodesOf(world);
      askToMove(world, 2, "n3");
      world.settleOverTime();
      expect([...nodesOf(world)].sort()).toEqual(
        [...before].map(([slot, id]) => [slot, slot === 2 ? "n3" : id]).sort(),
      );
    },
  );

  it("runs until its replacement is ready with start-first", () => {
    let fewest = Number.POSITIVE_INFINITY;
    let isWatched = false;
    const world = worldWith(START_FIRST, (now) => {
      if (isWatched) fewest = Math.min(fewest, now.occupying().filter(isReady).length);
    });
    isWatched = true;
    askToMove(world, 1, "n3");
    askToMove(world, 2, "n3");
    world.settleOverTime();
    expect(fewest).toBe(3);
    expect([nodesOf(world).get(1), nodesOf(world).get(2)]).toEqual(["n3", "n3"]);
  });

  it("stays while the requested node accepts no tasks", () => {
    const world = worldWith(START_FIRST);
    const before = [...world.tasks.keys()];
    world.setNode("n3", { availability: Availability.PAUSE });
    askToMove(world, 1, "n3");
    world.settleOverTime();
    expect([...world.tasks.keys()]).toEqual(before);
  });
});
