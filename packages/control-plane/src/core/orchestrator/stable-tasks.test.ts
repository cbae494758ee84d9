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
import { partitionTasks } from "./stable-tasks.js";

describe("partitionTasks", () => {
  const spec = buildSpec({ mode: { $case: "replicated", value: { replicas: 3 } } });
  const tasks = [1, 2, 3].map((slot) =>
    buildTask({ id: `t${slot}`, slot, nodeId: `n${slot}`, status: { state: TaskState.RUNNING } }),
  );
  const world = new World({ spec, nodes: buildNodes(NODES) });
  const idsOf = (over: Partial<Parameters<typeof partitionTasks>[0]>): readonly string[] =>
    partitionTasks(
      buildSnapshot({ service: buildService({ spec }), spec, tasks, ...over }),
      world.cluster,
    ).tasksToReconcile.map(({ id }) => id);

  it("reconciles no task of a converged service", () => {
    expect(idsOf({})).toEqual([]);
  });

  it("reconciles only the tasks of the slot that changed", () => {
    const [first, second, third] = tasks;
    if (!first || !second || !third) throw new Error("expected three tasks");
    const stopped = { ...second, desiredState: DesiredState.SHUTDOWN };
    expect(idsOf({ tasks: [first, stopped, third] })).toEqual(["t2"]);
    const duplicate = { ...second, id: "t4" };
    expect(idsOf({ tasks: [first, second, third, duplicate] })).toEqual(["t2", "t4"]);
  });

  it("reconciles all tasks when a slot is missing or superfluous", () => {
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
        buildContext({ nowMs: lost.nowMs, newId: idSequence("x") }),
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
          const { snapshot, cluster, nowMs } = world;
          const context = () => buildContext({ nowMs, newId: idSequence("x") });
          if (partitionTasks(snapshot, cluster).stable !== undefined) partitions += 1;
          const plan = reconcile(snapshot, cluster, context());
          if (snapshot.service.removing) continue;
          expect(plan).toEqual(reconcileService(snapshot, undefined, cluster, context()));
        }
      }),
      { numRuns: 200 },
    );
    expect(partitions).toBeGreaterThan(0);
  });

  it("does not list the tasks of a converged service, which costs one step per task", () => {
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

  it("reconciles the task of a down node", () => {
    world.setNode("n2", { state: NodeState.DOWN });
    const { tasksToReconcile } = partitionTasks(
      buildSnapshot({ service: buildService({ spec }), spec, tasks }),
      world.cluster,
    );
    expect(tasksToReconcile.map(({ id }) => id)).toEqual(["t2"]);
  });
});
