import { Availability, DesiredState, NodeState, TaskState, UpdateConfig_Order } from "@berth/proto";
import { describe, expect, it } from "vitest";
import type { ServiceView } from "./model.js";
import { describe as lineFor, type Plan } from "./plan.js";
import { reconcile } from "./reconcile.js";
import {
  buildCluster,
  buildNode,
  buildService,
  buildSpec,
  buildTask,
  GIB,
  idSequence,
} from "./test-records.js";

const NOW = 1_000_000;
const NODES = ["n1", "n2", "n3"].map((id) => buildNode({ id }));

function planFor(view: Partial<ServiceView>, nodes = NODES): Plan {
  const spec = view.spec ?? buildSpec();
  const full = { service: buildService({ spec }), spec, tasks: [], ...view };
  return reconcile(full, buildCluster(nodes, [full]), { now: NOW, newId: idSequence() });
}

const lines = (plan: Plan): readonly string[] => plan.actions.map(lineFor);
const replicas = (count: number) => ({ $case: "replicated", value: { replicas: count } }) as const;
const outdatedService = buildService({ version: 2, templateVersion: 2 });

describe("reconcile() of a replicated service", () => {
  it("spreads new tasks over the nodes", () => {
    expect(lines(planFor({ spec: buildSpec({ mode: replicas(4) }) }))).toEqual([
      "create task a1 (shop_web.1) on node n1",
      "create task a2 (shop_web.2) on node n2",
      "create task a3 (shop_web.3) on node n3",
      "create task a4 (shop_web.4) on node n1",
    ]);
  });

  it("does nothing when all is as it should be", () => {
    expect(planFor({ tasks: [buildTask()] })).toEqual({ actions: [], problems: [] });
  });

  it("makes NEW tasks that say why they have no node", () => {
    const nodes = [
      buildNode({ id: "n1", description: { memoryBytes: GIB } }),
      buildNode({ id: "n2", description: { memoryBytes: GIB } }),
      buildNode({ id: "n3", availability: Availability.DRAIN }),
    ];
    const spec = buildSpec({ task: { reservations: { memoryBytes: 1.5 * GIB } } });
    expect(lines(planFor({ spec }, nodes))).toEqual([
      "create task a1 (shop_web.1) without a node: 1 node is drained, 2 nodes lack 1.5 GiB of memory",
    ]);
  });

  it("marks tasks of a dead node as lost and replaces them in the same plan", () => {
    const nodes = [buildNode({ id: "n1", state: NodeState.DOWN }), buildNode({ id: "n2" })];
    expect(lines(planFor({ tasks: [buildTask()] }, nodes))).toEqual([
      "task t1 (shop_web.1) is lost: node n1 is down",
      "create task a1 (shop_web.1) on node n2",
    ]);
  });

  it("stops an outdated task and makes its successor only after the stop is confirmed", () => {
    const task = buildTask();
    expect(lines(planFor({ service: outdatedService, tasks: [task] }))).toEqual([
      "stop task t1 (shop_web.1): a newer version replaces it",
    ]);
    const stopping = { ...task, desiredState: DesiredState.SHUTDOWN };
    expect(lines(planFor({ service: outdatedService, tasks: [stopping] }))).toEqual([]);
    const stopped = buildTask({ ...stopping, status: { state: TaskState.SHUTDOWN } });
    expect(lines(planFor({ service: outdatedService, tasks: [stopped] }))).toEqual([
      "create task a1 (shop_web.1) on node n1",
    ]);
  });

  it("starts the successor first when asked to, and stops the old task once it runs", () => {
    const spec = buildSpec({ update: { order: UpdateConfig_Order.START_FIRST } });
    const old = buildTask();
    expect(lines(planFor({ service: outdatedService, spec, tasks: [old] }))).toEqual([
      "create task a1 (shop_web.1) on node n2",
    ]);
    const young = buildTask({ id: "t2", nodeId: "n2", specVersion: 2, createdAtMs: 5 });
    expect(lines(planFor({ service: outdatedService, spec, tasks: [old, young] }))).toEqual([
      "stop task t1 (shop_web.1): not needed any more",
    ]);
  });
});
