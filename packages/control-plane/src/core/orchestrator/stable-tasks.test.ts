import { DesiredState, NodeState, TaskState, TaskStatus } from "@berth/proto";
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

describe("partitionStable", () => {
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

  it("leaves no task of a steady service open", () => {
    expect(idsOf({})).toEqual([]);
  });

  it("leaves only the tasks of the slot that changed open", () => {
    const [first, second, third] = tasks;
    if (!first || !second || !third) throw new Error("expected three tasks");
    const stopped = { ...second, desiredState: DesiredState.SHUTDOWN };
    expect(idsOf({ tasks: [first, stopped, third] })).toEqual(["t2"]);
    const duplicate = { ...second, id: "t4" };
    expect(idsOf({ tasks: [first, second, third, duplicate] })).toEqual(["t2", "t4"]);
  });

  it("leaves all tasks open when a slot is missing or superfluous", () => {
    expect(idsOf({ tasks: tasks.slice(1) })).toEqual(["t2", "t3"]);
    expect(
      idsOf({ spec: buildSpec({ mode: { $case: "replicated", value: { replicas: 2 } } }) }),
    ).toHaveLength(3);
  });

  it("gives the same plan in any order of the tasks when a node with several of them is lost", () => {
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

  it("never changes the plan (property, random histories)", { timeout: 60_000 }, () => {
    let partitions = 0;
    fc.assert(
      fc.property(history, ({ spec: historySpec, events }) => {
        const world = new World({ spec: historySpec, nodes: buildNodes(NODES) });
        world.settle();
        for (const event of events) {
          // A task is stable only after it has run for a while.
          world.settleOverTime();
          applyEvent(world, event);
          if (world.isRemoved) return;
          const { snapshot, cluster, now } = world;
          const context = () => buildContext({ now, newId: idSequence("x") });
          if (partitionStable(snapshot, cluster).stable !== undefined) partitions += 1;
          const plan = reconcile(snapshot, cluster, context());
          if (snapshot.service.removing) continue;
          expect(plan).toEqual(reconcileService(snapshot, undefined, cluster, context()));
        }
      }),
      { numRuns: 200 },
    );
    expect(partitions).toBeGreaterThan(0);
  });

  it("does not list the tasks of a steady service, which costs one step per task", () => {
    const [first, second, third] = tasks;
    if (!first || !second || !third) throw new Error("expected three tasks");
    const failed = { ...second, status: TaskStatus.fromPartial({ state: TaskState.FAILED }) };
    const snapshot = buildSnapshot({ service: buildService({ spec }), spec, tasks: [first, failed, third] });
    const unlisted = {
      ...snapshot,
      get tasks(): never {
        throw new Error("the tasks were listed");
      },
    };
    const { actions } = reconcile(unlisted, world.cluster, buildContext());
    expect(actions).toMatchObject([{ kind: "create-task", task: { slot: 2 } }]);
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
