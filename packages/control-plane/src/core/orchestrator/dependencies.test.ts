import {
  Dependency_Condition,
  DesiredState,
  RestartPolicy_Condition,
  type Task,
  TaskState,
} from "@berth/proto";
import { expect, test } from "vitest";
import type { ServiceSnapshot } from "../model/snapshot.js";
import { reconcile } from "../reconcile.js";
import {
  buildCluster,
  buildContext,
  buildNode,
  buildService,
  buildSnapshot,
  buildSpec,
  buildTask,
} from "../testing/records.js";
import {
  type DependencyLookup,
  type DependencyState,
  dependencyState,
  dependencyWait,
} from "./dependencies.js";

const { STARTED, HEALTHY, COMPLETED } = Dependency_Condition;
const MINUTE_MS = 60_000;
const cluster = buildCluster([buildNode()]);

function web(
  condition: Dependency_Condition,
  over: { readonly optional?: boolean; readonly tasks?: readonly Task[]; readonly deadlineMs?: number } = {},
): ServiceSnapshot {
  const { optional = false, tasks = [], deadlineMs } = over;
  const update = deadlineMs === undefined ? {} : { progressDeadlineMs: deadlineMs };
  const spec = buildSpec({ dependsOn: [{ service: "shop_db", condition, optional }], update });
  return buildSnapshot({ service: buildService({ spec, healthyVersion: 0 }), spec, tasks });
}

const pending = (createdAtMs: number): Task =>
  buildTask({ nodeId: "", status: { state: TaskState.NEW }, createdAtMs });

const knows = (over: Partial<DependencyState>): DependencyLookup => {
  const state = { started: false, healthy: false, completed: false, failure: "", ...over };
  return (name) => (name === "shop_db" ? state : undefined);
};

test.each([
  [STARTED, { started: true }, "started"],
  [HEALTHY, { started: true, healthy: true }, "healthy"],
  [COMPLETED, { started: true, completed: true }, "completed"],
])(
  "condition %i holds a service back until it is met, and says what it waits for",
  (condition, met, word) => {
    expect(dependencyWait(web(condition), knows({}), 0)).toEqual({
      kind: "waiting",
      reason: `waiting for shop_db: ${word}`,
      deadlineMs: 5 * MINUTE_MS,
    });
    expect(dependencyWait(web(condition), knows(met), 0)).toEqual({ kind: "ready" });
  },
);

test("a service reports the passed deadline of its dependencies, and starts once they are ready", () => {
  const late = web(HEALTHY, { tasks: [pending(0)], deadlineMs: 90_000 });
  expect(dependencyWait(late, knows({}), 89_999)).toMatchObject({ deadlineMs: 90_000 });
  expect(dependencyWait(late, knows({}), 90_000)).toEqual({
    kind: "waiting",
    reason: "waiting for shop_db: was not healthy within 1m30s",
    deadlineMs: undefined,
  });
  expect(dependencyWait(late, knows({ healthy: true }), 90_000).kind).toBe("ready");
  const patient = web(HEALTHY, { tasks: [pending(0)], deadlineMs: 0 });
  expect(dependencyWait(patient, knows({}), 99 * MINUTE_MS)).toMatchObject({ deadlineMs: undefined });
});

test("an optional dependency that is missing or late holds no task back", () => {
  const optional = web(HEALTHY, { optional: true, tasks: [pending(0)] });
  expect(dependencyWait(optional, () => undefined, 0).kind).toBe("ready");
  expect(dependencyWait(optional, knows({}), 0).kind).toBe("waiting");
  expect(dependencyWait(optional, knows({}), 5 * MINUTE_MS).kind).toBe("ready");
  expect(dependencyWait(web(HEALTHY), () => undefined, 0)).toMatchObject({
    reason: "waiting for shop_db: no such service",
  });
});

test("the failure of a dependency is reported at once", () => {
  expect(dependencyWait(web(COMPLETED), knows({ failure: "exit code 1" }), 0)).toMatchObject({
    reason: "waiting for shop_db: failed: exit code 1",
  });
});

test("a service that was started once does not wait again", () => {
  const restarted = web(HEALTHY, { tasks: [buildTask({ status: { state: TaskState.FAILED } })] });
  expect(dependencyWait(restarted, knows({}), 0).kind).toBe("ready");
  const comesBack = web(HEALTHY, { tasks: [buildTask({ desiredState: DesiredState.REMOVE })] });
  expect(dependencyWait(comesBack, knows({}), 0).kind).toBe("waiting");
  const scaledToNothing = web(HEALTHY);
  const service = { ...scaledToNothing.service, healthyVersion: 1 };
  expect(dependencyWait({ ...scaledToNothing, service }, knows({}), 0).kind).toBe("ready");
});

test("tasks that are held back have no node and a reason, in each mode, and are assigned when the gate opens", () => {
  const modes = [
    { $case: "replicated", value: { replicas: 2 } },
    { $case: "global", value: {} },
  ] as const;
  for (const mode of modes) {
    const spec = buildSpec({ mode });
    const service = buildService({ spec });
    const context = buildContext({ nowMs: 1 });
    const holdReason = "waiting for shop_db: healthy";
    const { actions } = reconcile(buildSnapshot({ service, tasks: [] }), cluster, { ...context, holdReason });
    const tasks = actions.flatMap((action) => (action.kind === "create-task" ? [action.task] : []));
    expect(tasks).toHaveLength(mode.$case === "global" ? 1 : 2);
    for (const task of tasks) expect(task).toMatchObject({ nodeId: "", status: { message: holdReason } });
    expect(reconcile(buildSnapshot({ service, tasks }), cluster, { ...context, holdReason }).actions).toEqual(
      [],
    );
    const freed = reconcile(buildSnapshot({ service, tasks }), cluster, context).actions;
    expect(freed.map(({ kind }) => kind)).toEqual(tasks.map(() => "assign-task"));
  }
});

function db(state: TaskState, over: { readonly condition?: RestartPolicy_Condition } = {}): DependencyState {
  const { condition = RestartPolicy_Condition.ANY } = over;
  const spec = buildSpec({ task: { container: { image: "db:1" }, restart: { condition } } });
  const task = buildTask({ status: { state, exitCode: state === TaskState.COMPLETE ? 0 : 1 } });
  return dependencyState(buildSnapshot({ service: buildService({ spec }), spec, tasks: [task] }), cluster, 1);
}

test("dependencyState distinguishes started from healthy", () => {
  expect(db(TaskState.PREPARING)).toMatchObject({ started: false, healthy: false });
  expect(db(TaskState.STARTING)).toMatchObject({ started: true, healthy: false });
  expect(db(TaskState.RUNNING)).toMatchObject({ started: true, healthy: true, completed: false });
});

test("dependencyState distinguishes a completed one-shot from one that failed for good", () => {
  const { ON_FAILURE, NONE } = RestartPolicy_Condition;
  expect(db(TaskState.COMPLETE, { condition: ON_FAILURE })).toMatchObject({ started: true, completed: true });
  expect(db(TaskState.FAILED, { condition: ON_FAILURE })).toMatchObject({ completed: false, failure: "" });
  expect(db(TaskState.FAILED, { condition: NONE })).toMatchObject({
    completed: false,
    failure: expect.stringContaining("none"),
  });
});

test("dependencyState looks at the last run of a job", () => {
  const mode = { $case: "replicatedJob", value: { totalCompletions: 1 } } as const;
  const spec = buildSpec({ mode });
  const job = { iteration: 1, templateVersion: 1, endedAtMs: 5 };
  const stateWith = (run: typeof job & { failed?: boolean; message?: string }): DependencyState =>
    dependencyState(
      buildSnapshot({ service: buildService({ spec, job: run }), spec, tasks: [] }),
      cluster,
      1,
    );
  expect(stateWith(job).completed).toBe(true);
  expect(stateWith({ ...job, endedAtMs: 0 }).completed).toBe(false);
  expect(stateWith({ ...job, failed: true, message: "slot 1: no" })).toMatchObject({
    completed: false,
    failure: "slot 1: no",
  });
  expect(stateWith({ ...job, templateVersion: 0 }).completed).toBe(false);
});

test("a run that was replaced while it waited does not count as started", () => {
  const held = web(STARTED, { tasks: [pending(0)] });
  const job = { iteration: 2, startedAtMs: 5, endedAtMs: 0, failed: false, message: "", templateVersion: 2 };
  const again = { ...held, service: { ...held.service, job } };
  expect(dependencyWait(again, knows({}), 0).kind).toBe("waiting");
  const replaced = { ...held, service: { ...held.service, job: { ...job, endedAtMs: 6, failed: true } } };
  expect(dependencyWait(replaced, knows({}), 0).kind).toBe("waiting");
  const done = { ...held, service: { ...held.service, job: { ...job, endedAtMs: 6 } } };
  expect(dependencyWait(done, knows({}), 0).kind).toBe("ready");
});

test("two tasks of one slot count as one replica during an update", () => {
  const spec = buildSpec({ mode: { $case: "replicated", value: { replicas: 2 } } });
  const running = (id: string, slot: number): Task =>
    buildTask({ id, slot, status: { state: TaskState.RUNNING } });
  const databaseWith = (tasks: readonly Task[]): ServiceSnapshot =>
    buildSnapshot({ service: buildService({ spec }), tasks });
  const updating = dependencyState(databaseWith([running("t1", 1), running("t2", 1)]), cluster, 1);
  expect(updating).toMatchObject({ started: false, healthy: false });
  const whole = dependencyState(databaseWith([running("t1", 1), running("t2", 2)]), cluster, 1);
  expect(whole).toMatchObject({ started: true, healthy: true });
});
