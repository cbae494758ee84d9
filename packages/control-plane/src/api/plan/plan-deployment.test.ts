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
    now: 1_000,
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
  planDeployment(deployment(...specs), state, NOW).plan;

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
  test("says where the tasks of a new service would go", () => {
    const { services } = planOf(running(), specOf());
    expect(services).toMatchObject([
      { name: "shop_web", kind: 1, fromVersion: 0, toVersion: 1, problems: [] },
    ]);
    expect(services.map(stepTexts)).toEqual([["1 create 1 n1", "1 create 2 n2", "1 create 3 n1"]]);
  });

  test("says in which order an update would replace tasks, and every field that changes", () => {
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

  test("tells stop-first as replacements too, and each task once", () => {
    const changed = specOf({ image: "web:2", update: { parallelism: 1, order: 1 } });
    const [web] = planOf(running(specOf()), changed).services;
    expect(web?.rollout).toBe("1 at a time, stop-first, on failure: rollback");
    expect(web?.steps.map(({ kind, slot, round }) => [kind, slot, round])).toEqual([
      [PlannedStep_Kind.REPLACE, 1, 1],
      [PlannedStep_Kind.REPLACE, 2, 2],
      [PlannedStep_Kind.REPLACE, 3, 3],
    ]);
  });

  test("a change in place replaces nothing, and no change does nothing", () => {
    const state = running(specOf());
    const [label] = planOf(state, specOf({ labels: { team: "a" } })).services;
    expect(label).toMatchObject({ kind: 2, replacesTasks: false, steps: [] });
    expect(label?.changes).toEqual([{ path: "labels.team", before: "", after: "a" }]);
    expect(planOf(state, specOf()).services).toMatchObject([{ kind: 3, steps: [], changes: [] }]);
  });

  test("fewer replicas and services that are no longer named stop tasks", () => {
    const state = running(specOf(), specOf({ name: "shop_old", image: "old:1" }));
    const mode = { $case: "replicated", value: { replicas: 1 } } as const;
    const { services } = planOf(state, specOf({ mode }));
    expect(services.map(({ name, kind, steps }) => [name, kind, steps.map((step) => step.kind)])).toEqual([
      ["shop_web", 2, [PlannedStep_Kind.STOP, PlannedStep_Kind.STOP]],
      ["shop_old", 4, [PlannedStep_Kind.STOP, PlannedStep_Kind.STOP, PlannedStep_Kind.STOP]],
    ]);
  });

  test("says what finds no node and why, and how far the rest would get", () => {
    const changed = specOf({ placement: { maxReplicasPerNode: 1 } });
    const [web] = planOf(running(), changed).services;
    const unplaced = web?.steps.filter(({ isUnplaced }) => isUnplaced) ?? [];
    expect(web?.steps).toHaveLength(3);
    expect(unplaced).toHaveLength(1);
    expect(unplaced[0]?.reason).toContain("2 nodes");
  });

  test("makes what depends on others after them", () => {
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

  test("an update that finds no room is told as it stands, without what its deadline would bring", () => {
    const changed = specOf({ image: "web:2", placement: { constraints: ["node.labels.a == b"] } });
    const [web] = planOf(running(specOf()), changed).services;
    expect(web?.steps).toMatchObject([
      { kind: PlannedStep_Kind.REPLACE, slot: 1, isUnplaced: true, toHostname: "" },
    ]);
    expect(web?.steps[0]?.reason).toContain("2 nodes do not meet node.labels.a == b");
    expect(web?.omittedSteps).toBe(0);
  });

  test("one task a node is told by its node, a job by its tasks, and a schedule does nothing now", () => {
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

  test("leaves the state as it was", () => {
    const state = running(specOf());
    const tasks = new Map([...state.tasks.values()].map((task) => [task.id, task]));
    const services = [...state.services.values()];
    planOf(state, specOf({ image: "web:2" }), specOf({ name: "shop_new" }));
    expect(new Map([...state.tasks.values()].map((task) => [task.id, task]))).toEqual(tasks);
    expect([...state.services.values()]).toEqual(services);
    expect(state.services.byName("shop_new")).toBeUndefined();
  });

  test("ends in time with an update of very many tasks, and says that there is more", () => {
    const mode = { $case: "replicated", value: { replicas: 3_000 } } as const;
    const [web] = planOf(running(specOf({ mode })), specOf({ mode, image: "web:2" })).services;
    const shown = web?.steps.length ?? 0;
    expect(shown).toBeGreaterThan(0);
    // The last one has its new task, and its old one stops in the next round.
    expect([2_999, 3_000, 3_001]).toContain(shown + (web?.omittedSteps ?? 0));
  });
});

describe("the name of a plan", () => {
  const changed = specOf({ image: "web:2" });
  const parts = (state: ClusterState, ...specs: readonly ServiceSpec[]) =>
    planDeployment(deployment(...specs), state, NOW);

  test("is the same for the same plan, at any time", () => {
    const [first, second] = [running(specOf()), running(specOf())];
    expect(planOf(first, changed).rev).toBe(planDeployment(deployment(changed), second, NOW * 2).plan.rev);
    expect(() => checkPlanRevision(planOf(first, changed).rev, parts(second, changed), "shop")).not.toThrow();
  });

  test("is another when the spec, the version below it or the steps are, and the error names the service", () => {
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
    expect(() => checkPlanRevision(rev, parts(state, changed), "shop")).toThrow("shop_db would differ");
  });
});
