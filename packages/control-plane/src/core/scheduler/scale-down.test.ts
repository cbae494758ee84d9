import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { slotsByNumber } from "../model/slots.js";
import type { NodeSnapshot } from "../model/snapshot.js";
import {
  buildNode,
  buildNodeSnapshot,
  buildReservation,
  buildSpec,
  buildTask,
  CPU,
  clusterSnapshot,
} from "../testing/records.js";
import { place } from "./place.js";
import { getRequirements } from "./requirements.js";
import { selectSlotsToRemove } from "./scale-down.js";

const SPREADS = [[], ["node.labels.zone"], ["node.labels.zone", "node.labels.rack"]];

const snapshots = fc.array(
  fc.record({
    zone: fc.constantFrom("a", "b", "c"),
    rack: fc.constantFrom("1", "2"),
    tasks: fc.nat(5),
    cpus: fc.nat(3),
  }),
  { minLength: 1, maxLength: 9 },
);

const spreads = fc.constantFrom(...SPREADS);

describe("selectSlotsToRemove", () => {
  it("removes the slots that placement filled last (property)", () => {
    fc.assert(
      fc.property(snapshots, spreads, fc.nat(30), fc.nat(30), (made, spread, before, more) => {
        const nodes = nodesOf(made);
        const need = getRequirements(buildSpec({ placement: { spread: [...spread] } }));
        const load = { tasksByNode: new Map(), occupiedByNode: new Map(), avoided: new Map() };
        const { nodeIds } = place({ count: before + more, requirements: need, load }, clusterSnapshot(nodes));
        const slots = slotsOn(nodeIds);
        const gone = selectSlotsToRemove(slots, more, { staying: new Set(slots), spread, nodes });
        const expected = Array.from({ length: more }, (_, index) => before + more - index);
        expect(gone.map((slot) => slot.number)).toEqual(expected);
      }),
    );
  });
});

function nodesOf(
  made: readonly {
    readonly zone: string;
    readonly rack: string;
    readonly tasks: number;
    readonly cpus: number;
  }[],
): ReadonlyMap<string, NodeSnapshot> {
  return new Map(
    made.map(({ zone, rack, tasks, cpus }, index) => {
      const node = buildNode({ id: `n${index}`, labels: { zone, rack } });
      const reserved = buildReservation({ nanoCpus: cpus * CPU });
      return [node.id, buildNodeSnapshot({ node, taskCount: tasks, reserved })];
    }),
  );
}

const slotsOn = (nodeIds: readonly string[]) =>
  slotsByNumber(nodeIds.map((nodeId, index) => buildTask({ id: `t${index}`, slot: index + 1, nodeId })));
