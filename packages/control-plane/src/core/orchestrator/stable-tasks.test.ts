import { DesiredState, NodeState, TaskState } from "@berth/proto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { reconcile } from "../reconcile.js";
import {
  buildContext,
  buildService,
  buildSnapshot,
  buildSpec,
  buildTask,
  idSequence,
} from "../testing/records.js";
import { applyEvent, history, NODES } from "../testing/service-histories.js";
import { buildNodes, World } from "../testing/world.js";
import { reconcileService } from "./reconcile-service.js";
import { partitionStable } from "./stable-tasks.js";

describe("partitionStable()", () => {
  const spec = buildSpec({ mode: { $case: "replicated", value: { replicas: 3 } } });
  const tasks = [1, 2, 3].map((slot) =>
    buildTask({ id: `t${slot}`, slot, nodeId: `n${slot}`, status: { state: TaskState.RUNNING } }),
  );
  const world = new World({ spec, nodes: buildNodes(NODES) });
  const idsOf = (over: Partial<Parameters<typeof partitionStable>[0]>): readonly string[] =>
    partitionStable(
      buildSnapshot({ service: buildService({ spec }), spec, tasks, ...over }),
      world.cluster,
    ).open.map(({ id }) => id);

  it("leaves no open task of a steady service", () => {
    expect(idsOf({})).toEqual([]);
  });

  it("leaves the tasks of the one slot that changed", () => {
    const [first, second, third] = tasks;
    if (!first || !second || !third) throw new Error("three tasks were made");
    const stopped = { ...second, desiredState: DesiredState.SHUTDOWN };
    expect(idsOf({ tasks: [first, stopped, third] })).toEqual(["t2"]);
    const twin = { ...second, id: "t4" };
    expect(idsOf({ tasks: [first, second, third, twin] })).toEqual(["t2", "t4"]);
  });

  it("leaves all tasks open when a slot is missing or surplus", () => {
    expect(idsOf({ tasks: tasks.slice(1) })).toEqual(["t2", "t3"]);
    expect(
      idsOf({ spec: buildSpec({ mode: { $case: "replicated", value: { replicas: 2 } } }) }),
    ).toHaveLength(3);
  });

  it("gives the same plan whatever the order of the tasks, also when a node takes several with it", () => {
    const lost = new World({ spec, nodes: buildNodes(NODES) });
    lost.setNode("n1", { state: NodeState.DOWN });
    const onOneNode = tasks.map((task) => ({ ...task, nodeId: "n1" }));
    const planOf = (ordered: typeof tasks) =>
      reconcile(
        buildSnapshot({ service: buildService({ spec }), spec, tasks: ordered }),
        lost.cluster,
        buildContext({ now: lost.now, newId: idSequence("x") }),
      );
    expect(planOf([...onOneNode].reverse())).toEqual(planOf(onOneNode));
  });

  it("never changes the plan, over random histories", { timeout: 60_000 }, () => {
    let divisions = 0;
    fc.assert(
      fc.property(history, ({ spec: historySpec, events }) => {
        const world = new World({ spec: historySpec, nodes: buildNodes(NODES) });
        world.settle();
        for (const event of events) {
          // What runs well has to do so for a while before it counts as settled.
          world.settleOverTime();
          applyEvent(world, event);
          if (world.removed) return;
          const { snapshot, cluster, now } = world;
          const context = () => buildContext({ now, newId: idSequence("x") });
          if (partitionStable(snapshot, cluster).stable !== undefined) divisions += 1;
          const plan = reconcile(snapshot, cluster, context());
          if (snapshot.service.removing) continue;
          expect(plan).toEqual(reconcileService(snapshot, undefined, cluster, context()));
        }
      }),
      { numRuns: 200 },
    );
    expect(divisions).toBeGreaterThan(0);
  });

  it("leaves the task of a down node open", () => {
    world.setNode("n2", { state: NodeState.DOWN });
    const { open } = partitionStable(
      buildSnapshot({ service: buildService({ spec }), spec, tasks }),
      world.cluster,
    );
    expect(open.map(({ id }) => id)).toEqual(["t2"]);
  });
});
