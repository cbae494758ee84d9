import {
  Availability,
  DesiredState,
  Health,
  RestartPolicy_Condition,
  Rollout,
  Rollout_State,
  type Task,
  TaskState,
} from "@berth/proto";
import { describe, expect, it } from "vitest";
import {
  buildCluster,
  buildNode,
  buildService,
  buildSnapshot,
  buildSpec,
  buildTask,
} from "../testing/records.js";
import { type Convergence, convergence } from "./convergence.js";
import { newestTasks } from "./newest-tasks.js";

const NODES = [
  buildNode({ id: "n1" }),
  buildNode({ id: "n2" }),
  buildNode({ id: "n3", availability: Availability.DRAIN }),
];
const cluster = buildCluster(NODES);
const NOW = 1_000_000;
const service = buildService({ version: 2, templateVersion: 2 });

function converge(tasks: readonly Task[], over: Parameters<typeof buildSpec>[0] = {}): Convergence {
  return convergence(buildSnapshot({ service, spec: buildSpec(over), tasks }), cluster, NOW);
}

const task = (over: Parameters<typeof buildTask>[0] = {}): Task => buildTask({ specVersion: 2, ...over });
const DONE = { desired: 1, running: 1, converged: true, reasons: [] };

describe("convergence", () => {
  it("has converged when every replica runs", () => {
    expect(converge([task()])).toEqual(DONE);
  });

  it("has converged with 0 replicas and no task", () => {
    const none = { mode: { $case: "replicated", value: { replicas: 0 } } } as const;
    expect(converge([], none)).toEqual({ desired: 0, running: 0, converged: true, reasons: [] });
  });

  it.each<[string, Rollout_State, string, readonly string[]]>([
    ["is on", Rollout_State.UPDATING, "", ["it is being updated"]],
    ["goes back", Rollout_State.ROLLING_BACK, "2 failed", ["it is being rolled back: 2 failed"]],
    ["is paused", Rollout_State.PAUSED, "the update failed", ["the update failed"]],
    ["is paused on its way back", Rollout_State.ROLLBACK_PAUSED, "no way back", ["no way back"]],
    ["is complete", Rollout_State.COMPLETED, "", []],
    ["has gone back", Rollout_State.ROLLBACK_COMPLETED, "rolled back to version 1", []],
  ])(
    "a service has not converged while a rollout %s, although every task is ready",
    (_name, state, message, reasons) => {
      const updated = { ...service, rollout: Rollout.fromPartial({ state, message }) };
      const snapshot = buildSnapshot({ service: updated, spec: buildSpec(), tasks: [task()] });
      expect(convergence(snapshot, cluster, NOW)).toMatchObject({ converged: reasons.length === 0, reasons });
    },
  );

  it("has converged with tasks of an older version whose template is current again", () => {
    const templates = [1, 2, 3].map((version) => ({ version, templateVersion: version === 2 ? 2 : 1 }));
    const back = buildService({ version: 3, templateVersion: 1, templates });
    const of = (specVersion: number) =>
      buildSnapshot({ service: back, spec: buildSpec(), tasks: [task({ specVersion })] });
    expect(convergence(of(1), cluster, NOW).reasons).toEqual([]);
    expect(convergence(of(2), cluster, NOW).reasons).toEqual(["an older version still runs"]);
  });

  it.each<[string, Task, string]>([
    [
      "it waits for a node",
      task({ nodeId: "", status: { state: TaskState.NEW, message: "1 node is down" } }),
      "no suitable node: 1 node is down",
    ],
    [
      "it pulls",
      task({ status: { state: TaskState.PREPARING, message: "pulling web:1" } }),
      "it is being prepared: pulling web:1",
    ],
    ["it starts", task({ status: { state: TaskState.STARTING } }), "it is starting"],
    [
      "it is unhealthy",
      task({ status: { state: TaskState.RUNNING, health: Health.UNHEALTHY } }),
      "it is unhealthy",
    ],
    ["it is outdated", task({ specVersion: 1 }), "an older version still runs"],
    ["its node is drained", task({ nodeId: "n3" }), "it must leave its node, which is drained"],
    ["it failed", task({ status: { state: TaskState.FAILED, exitCode: 3 } }), "ended with exit code 3"],
    ["it stops", task({ desiredState: DesiredState.SHUTDOWN }), "a previous task has not stopped yet"],
  ])("explains why it is not reached when %s", (_name, only, reason) => {
    expect(converge([only])).toMatchObject({ converged: false, reasons: [reason] });
  });

  it("waits for tasks that are left over", () => {
    const leftover = task({ id: "t2", desiredState: DesiredState.SHUTDOWN });
    expect(converge([task(), leftover])).toMatchObject({ running: 1, converged: false });
  });

  it("reports how many tasks are missing when they have no record yet", () => {
    expect(converge([])).toMatchObject({ converged: false, reasons: ["0 of 1 tasks are in place"] });
  });

  it("counts a completed one-shot, but not a completed task that always restarts", () => {
    const completed = task({ status: { state: TaskState.COMPLETE } });
    const once = { task: { restart: { condition: RestartPolicy_Condition.ON_FAILURE } } };
    expect(converge([completed], once)).toMatchObject({ desired: 1, running: 0, converged: true });
    expect(converge([completed])).toMatchObject({ converged: false });
  });

  it("expects a global service on every eligible node", () => {
    const global = { mode: { $case: "global", value: {} } } as const;
    const on = (nodeId: string): Task => task({ id: nodeId, slot: 0, nodeId });
    expect(converge([on("n1"), on("n2")], global)).toEqual({ ...DONE, desired: 2, running: 2 });
    expect(converge([on("n1")], global)).toMatchObject({ desired: 2, converged: false });
  });

  it("reports the same reason once, with a count", () => {
    const mode = { $case: "replicated", value: { replicas: 2 } } as const;
    const starting = { state: TaskState.STARTING };
    const tasks = [task({ status: starting }), task({ id: "t2", slot: 2, status: starting })];
    expect(converge(tasks, { mode }).reasons).toEqual(["2 tasks: it is starting"]);
  });

  it("has not converged while the service is being removed", () => {
    const snapshot = buildSnapshot({ service: { ...service, removing: true }, spec: buildSpec(), tasks: [] });
    expect(convergence(snapshot, cluster, NOW)).toMatchObject({ desired: 0, converged: false });
  });
});

describe("newestTasks", () => {
  it("returns the newest task of each slot and every task that has yet to stop", () => {
    const old = task({ id: "old", createdAtMs: 1, desiredState: DesiredState.SHUTDOWN });
    const older = task({ id: "older", createdAtMs: 0, status: { state: TaskState.FAILED } });
    const young = task({ id: "young", createdAtMs: 2 });
    const other = task({ id: "other", slot: 2 });
    expect(newestTasks([older, old, young, other]).map(({ id }) => id)).toEqual(["old", "young", "other"]);
  });
});
