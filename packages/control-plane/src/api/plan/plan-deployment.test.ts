import {
  applySpecDefaults,
  Dependency_Condition,
  PlannedStep_Kind,
  RestartPolicy_Condition,
  type ServicePlan,
  ServiceSpec,
  TaskState,
} from "@berth/proto";
import { describe, expect, test, vi } from "vitest";
import { buildNode, buildTask } from "../../core/testing/records.js";
import type { Change } from "../../state/change.js";
import { ClusterState } from "../../state/cluster-state.js";
import { decideDeployment } from "../deploy/decide-deployment.js";
import { planDeployment } from "./plan-deployment.js";
import { checkPlanRevision } from "./plan-revision.js";

/** Very many tasks on a busy machine. */
vi.setConfig({ testTimeout: 60_000 });

type Part = Parameters<typeof ServiceSpec.fromPartial>[0];

function specOf(over: Part & { readonly image?: string } = {}): ServiceSpec {
  const { image = "web:1", ...rest } = over;
  return applySpecDefaults(
    ServiceSpec.fromPartial({
      name: "shop_web",
      stack: "shop",
      mode: { $case: "replicated", value: { replicas: 3 } },
      task: { container: { image } },
      ...rest,
    }),
  );
}

const deployment = (...specs: readonly ServiceSpec[]) => ({ stack: "shop", specs, prune: true });

/** A cluster of two nodes in which a deployment was made and all of it runs. */
function running(...specs: readonly ServiceSpec[]): ClusterState {
  const state = new ClusterState();
  let revision = 0n;
  const apply = (changes: readonly Change[]): void => {
    state.apply(changes.map((change) => ({ change, revision: ++revision })));
  };
  apply(
    ["n1", "n2"].map((id) => ({ kind: "put-node", node: buildNode({ id, description: { hostname: id } }) })),
  );
  let ids = 0;
  const { changes, result } = decideDeployment(deployment(...specs), state, {
    nowMs: 1_000,
    newId: () => `s${++ids}`,
  });
  apply(changes);
  result.services.forEach(({ serviceId, name }, index) => {
    const mode = specs[index]?.mode;
    const count = mode?.$case === "replicated" ? mode.value.replicas : 0;
    apply(
      Array.from({ length: count }, (_, slot) => ({
        kind: "put-task",
        task: buildTask({
          id: `${serviceId}-${slot + 1}`,
          serviceId,
          serviceName: name,
          slot: slot + 1,
          nodeId: slot % 2 === 0 ? "n1" : "n2",
          status: { state: TaskState.RUNNING, sinceMs: 1_000 },
        }),
      })),
    );
  });
  return state;
}

const NOW = 500_000;
const planOf = (state: ClusterState, ...specs: readonly ServiceSpec[]) =>
  planDeployment(deployment(...specs), state, { nowMs: NOW }).plan;

const KINDS = new Map<PlannedStep_Kind, string>([
  [PlannedStep_Kind.CREATE, "create"],
  [PlannedStep_Kind.REPLACE, "replace"],
  [PlannedStep_Kind.STOP, "stop"],
]);

function stepTexts({ steps }: ServicePlan): readonly string[] {
  return steps.map(({ kind, slot, round, fromHostname, toHostname }) =>
    [round, KINDS.get(kind), slot, fromHostname, toHostname].filter((part) => part !== "").join(" "),
  );
}

describe("planDeployment", () => {
  test("shows the nodes for the tasks of a new service", () => {
    const { services } = planOf(running(), specOf());
    expect(services).toMatchObject([
      { name: "shop_web", kind: 1, fromVersion: 0, toVersion: 1, problems: [] },
    ]);
    expect(services.map(stepTexts)).toEqual([["1 create 1 n1", "1 create 2 n2", "1 create 3 n1"]]);
  });

  test("shows the order in which an update replaces tasks, and every field that changes", () => {
    const changed = specOf({ image: "web:2", update: { parallelism: 2, delayMs: 60_000 } });
    const [web] = planOf(running(specOf()), changed).services;
    expect(web).toMatchObject({
      kind: 2,
      replacesTasks: true,
      rollout: "2 at a time, start-first, on failure: rollback",
    });
    expect(web?.changes).toEqual([
      { path: "task.container.image", before: "web:1", after: "web:2" },
      { path: "update.delay_ms", before: "", after: "60000" },
      { path: "update.parallelism", before: "1", after: "2" },
    ]);
    expect(web && stepTexts(web).map((text) => text.split(" ").slice(0, 3).join(" "))).toEqual([
      "1 replace 1",
      "1 replace 2",
      "2 replace 3",
    ]);
    expect(web?.steps.every(({ taskId, toHostname }) => taskId !== "" && toHostname !== "")).toBe(true);
  });

  test("shows each task once when an update is stop-first", () => {
    const changed = specOf({ image: "web:2", update: { parallelism: 1, order: 1 } });
    const [web] = planOf(running(specOf()), changed).services;
    expect(web?.rollout).toBe("1 at a time, stop-first, on failure: rollback");
    expect(web?.steps.map(({ kind, slot, round }) => [kind, slot, round])).toEqual([
      [PlannedStep_Kind.REPLACE, 1, 1],
      [PlannedStep_Kind.REPLACE, 2, 2],
      [PlannedStep_Kind.REPLACE, 3, 3],
    ]);
  });

  test("shows no steps for a change in place, or without a change", () => {
    const state = running(specOf());
    const [label] = planOf(state, specOf({ labels: { team: "a" } })).services;
    expect(label).toMatchObject({ kind: 2, replacesTasks: false, steps: [] });
    expect(label?.changes).toEqual([{ path: "labels.team", before: "", after: "a" }]);
    expect(planOf(state, specOf()).services).toMatchObject([{ kind: 3, steps: [], changes: [] }]);
  });

  test("shows stops for a smaller scale and for removed services", () => {
    const state = running(specOf(), specOf({ name: "shop_old", image: "old:1" }));
    const mode = { $case: "replicated", value: { replicas: 1 } } as const;
    const { services } = planOf(state, specOf({ mode }));
    expect(services.map(({ name, kind, steps }) => [name, kind, steps.map((step) => step.kind)])).toEqual([
      ["shop_web", 2, [PlannedStep_Kind.STOP, PlannedStep_Kind.STOP]],
      ["shop_old", 4, [PlannedStep_Kind.STOP, PlannedStep_Kind.STOP, PlannedStep_Kind.STOP]],
    ]);
  });

  test("shows tasks without a node with the reason, and how far the others get", () => {
    const changed = specOf({ placement: { maxReplicasPerNode: 1 } });
    const [web] = planOf(running(), changed).services;
    const unplaced = web?.steps.filter(({ isUnplaced }) => isUnplaced) ?? [];
    expect(web?.steps).toHaveLength(3);
    expect(unplaced).toHaveLength(1);
    expect(unplaced[0]?.reason).toContain("2 nodes");
  });

  test("starts services after their dependencies", () => {
    const dependsOn = [{ service: "shop_db", condition: Dependency_Condition.STARTED }];
    const one = { $case: "replicated", value: { replicas: 1 } } as const;
    const { services } = planOf(
      running(),
      specOf({ dependsOn, mode: one }),
      specOf({ name: "shop_db", mode: one }),
    );
    expect(services.map(({ name, problems }) => [name, problems])).toEqual([
      ["shop_web", []],
      ["shop_db", []],
    ]);
    expect(services[0]?.steps).toMatchObject([{ kind: PlannedStep_Kind.CREATE, isUnplaced: false }]);
  });

  test("shows an update without a free node as it is, not what its deadline would cause", () => {
    const changed = specOf({ image: "web:2", placement: { constraints: ["node.labels.a == b"] } });
    const [web] = planOf(running(specOf()), changed).services;
    expect(web?.steps).toMatchObject([
      { kind: PlannedStep_Kind.REPLACE, slot: 1, isUnplaced: true, toHostname: "" },
    ]);
    expect(web?.steps[0]?.reason).toContain("2 nodes do not meet node.labels.a == b");
    expect(web?.omittedSteps).toBe(0);
  });

  test("shows global tasks by node, jobs by task, and nothing for a cron job", () => {
    const global = specOf({ name: "shop_all", mode: { $case: "global", value: {} } });
    const onFailure = { restart: { condition: RestartPolicy_Condition.ON_FAILURE } };
    const task = { container: { image: "job:1" }, ...onFailure };
    const mode = { $case: "replicatedJob", value: { totalCompletions: 3, maxConcurrent: 2 } } as const;
    const job = specOf({ name: "shop_job", mode, task });
    const nightly = specOf({ name: "shop_nightly", mode, task, cron: { schedule: "@daily" } });
    const { services } = planOf(running(), global, job, nightly);
    expect(services.map(({ name, problems }) => [name, problems])).toEqual([
      ["shop_all", []],
      ["shop_job", []],
      ["shop_nightly", []],
    ]);
    expect(services.map(stepTexts)).toEqual([
      ["1 create 0 n1", "1 create 0 n2"],
      [
        expect.stringMatching("1 create 1"),
        expect.stringMatching("1 create 2"),
        expect.stringMatching("2 create 3"),
      ],
      [],
    ]);
  });

  test("leaves the state unchanged", () => {
    const state = running(specOf());
    const tasks = new Map([...state.tasks.values()].map((task) => [task.id, task]));
    const services = [...state.services.values()];
    planOf(state, specOf({ image: "web:2" }), specOf({ name: "shop_new" }));
    expect(new Map([...state.tasks.values()].map((task) => [task.id, task]))).toEqual(tasks);
    expect([...state.services.values()]).toEqual(services);
    expect(state.services.byName("shop_new")).toBeUndefined();
  });

  test("stops at a limit for very many tasks and counts the omitted steps", () => {
    const mode = { $case: "replicated", value: { replicas: 3_000 } } as const;
    const [web] = planOf(running(specOf({ mode })), specOf({ mode, image: "web:2" })).services;
    const shown = web?.steps.length ?? 0;
    expect(shown).toBeGreaterThan(0);
    // The last one has its new task, and its old one stops in the next round.
    expect([2_999, 3_000, 3_001]).toContain(shown + (web?.omittedSteps ?? 0));
  });
});

describe("planRevision", () => {
  const changed = specOf({ image: "web:2" });
  const parts = (state: ClusterState, ...specs: readonly ServiceSpec[]) =>
    planDeployment(deployment(...specs), state, { nowMs: NOW });

  test("planRevision is equal for equal plans at any time", () => {
    const [first, second] = [running(specOf()), running(specOf())];
    expect(planOf(first, changed).rev).toBe(
      planDeployment(deployment(changed), second, { nowMs: NOW * 2 }).plan.rev,
    );
    expect(() => checkPlanRevision(planOf(first, changed).rev, parts(second, changed), "shop")).not.toThrow();
  });

  test("differs when the spec, the base version or the steps differ, and the error names the service", () => {
    const state = running(specOf(), specOf({ name: "shop_db", image: "db:1" }));
    const db = specOf({ name: "shop_db", image: "db:1" });
    const { rev } = planOf(state, changed, db);
    expect(() => checkPlanRevision(rev, parts(state, specOf({ image: "web:3" }), db), "shop")).toThrow(
      "the plan has changed for shop_web",
    );
    const moved = running(specOf({ labels: { a: "b" } }), db);
    const service = moved.services.byName("shop_web");
    if (service !== undefined) {
      const change = { kind: "put-service", service: { ...service, version: 7 } } as const;
      moved.apply([{ change, revision: 1_000n }]);
    }
    expect(() => checkPlanRevision(rev, parts(moved, changed, db), "shop")).toThrow(
      "the plan has changed for shop_web",
    );
    expect(() => checkPlanRevision(rev, parts(state, changed), "shop")).toThrow(
      "the plan has changed for shop_db",
    );
  });
});
