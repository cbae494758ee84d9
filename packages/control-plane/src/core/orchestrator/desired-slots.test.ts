import { DesiredState, NetworkAttachment, type Node } from "@berth/proto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { buildNode, buildSpec } from "../testing/records.js";
import { buildNodes, World } from "../testing/world.js";

const labels = fc.record({ zone: fc.constantFrom("a", "b", "c"), rack: fc.constantFrom("1", "2") });
const nodes = fc
  .array(labels, { minLength: 1, maxLength: 8 })
  .map((all) => all.map((one, index) => buildNode({ id: `n${index}`, labels: one })));
const spread = fc.constantFrom([], ["node.labels.zone"], ["node.labels.zone", "node.labels.rack"]);
const replicas = fc.nat(20);

function scaleTo(world: World, count: number): void {
  world.change(
    { ...world.spec, mode: { $case: "replicated", value: { replicas: count } } },
    { template: false },
  );
  world.settleOverTime();
}

/** How many tasks each group has, fullest first: which of two equal groups has one more means nothing. */
function counts(world: World, groupOf: (node: Node) => string): readonly number[] {
  const byGroup = new Map<string, number>([...world.nodes.values()].map((node) => [groupOf(node), 0]));
  for (const task of world.occupying()) {
    const node = world.nodes.get(task.nodeId);
    if (node === undefined) continue;
    byGroup.set(groupOf(node), (byGroup.get(groupOf(node)) ?? 0) + 1);
  }
  return [...byGroup.values()].sort((a, b) => b - a);
}

const shapeOf = (world: World) => ({
  nodes: counts(world, (node) => node.id),
  zones: counts(world, (node) => node.labels.zone ?? ""),
  racks: counts(world, (node) => `${node.labels.zone}/${node.labels.rack}`),
});

describe("replicatedSlots", () => {
  it("keeps the service evenly spread when it scales up and down again (property)", () => {
    fc.assert(
      fc.property(nodes, spread, replicas, replicas, (all, levels, before, more) => {
        const spec = buildSpec({
          mode: { $case: "replicated", value: { replicas: before } },
          placement: { spread: [...levels] },
        });
        const world = new World({ spec, nodes: all });
        world.settleOverTime();
        const shape = shapeOf(world);
        scaleTo(world, before + more);
        scaleTo(world, before);
        expect(shapeOf(world)).toEqual(shape);
      }),
      { numRuns: 60 },
    );
  });

  it.each([
    ["", 2],
    ["10.21.0.4", 1],
  ])("scales down and up again with the static address %o: %i tasks at a time", (ipv4Address, atATime) => {
    const networks = [NetworkAttachment.fromPartial({ network: "front", ipv4Address, optional: true })];
    const world = new World({ spec: buildSpec({ task: { networks } }), nodes: buildNodes(2) });
    world.settleOverTime();
    for (const count of [0, 1]) {
      world.change(
        { ...world.spec, mode: { $case: "replicated", value: { replicas: count } } },
        { template: false },
      );
      world.settle();
    }
    expect(world.occupying()).toHaveLength(atATime);
    world.settleOverTime();
    expect(world.occupying().map(({ desiredState }) => desiredState)).toEqual([DesiredState.RUNNING]);
  });
});
