import { Availability, DesiredState, NodeState, TaskState } from "@berth/proto";
import { expect, test } from "vitest";
import {
  endTask,
  globalJob,
  jobConvergence,
  jobSpec,
  runningTasks,
  singleTask,
  startJob,
  stopTasks,
} from "../testing/jobs.js";
import { buildSpec } from "../testing/records.js";
import { buildNodes } from "../testing/world.js";
import { applySpec } from "./apply-spec.js";

test("a job runs up to its limit of concurrent tasks, until all have completed", () => {
  const world = startJob(jobSpec({ total: 5, maxConcurrent: 2 }));
  expect(runningTasks(world).map(({ slot }) => slot)).toEqual([1, 2]);
  expect(jobConvergence(world)).toMatchObject({ desired: 2, converged: false });
  while (runningTasks(world).length > 0) {
    const [first] = runningTasks(world);
    if (first !== undefined) endTask(world, first, TaskState.COMPLETE);
  }
  expect(world.service.job).toMatchObject({ iteration: 1, failed: false, message: "5 of 5 completed" });
  expect([...world.tasks.values()].map(({ slot }) => slot).sort()).toEqual([1, 2, 3, 4, 5]);
  expect(jobConvergence(world)).toMatchObject({ desired: 0, converged: true, reasons: [] });
  expect(world.plan()).toEqual({ actions: [], problems: [] });
});

test("a failed task is retried in its slot, and on another node when its node dies", () => {
  const world = startJob(jobSpec({ total: 1 }));
  const first = singleTask(runningTasks(world));
  endTask(world, first, TaskState.FAILED);
  const second = singleTask(runningTasks(world));
  expect(second).toMatchObject({ slot: 1, restarts: 1, jobIteration: 1 });
  world.setNode(second.nodeId, { state: NodeState.DOWN });
  world.settle();
  const third = singleTask(runningTasks(world));
  expect(third.nodeId).not.toBe(second.nodeId);
  endTask(world, third, TaskState.COMPLETE);
  expect(jobConvergence(world).converged).toBe(true);
});

test("a job fails with a reason when a slot has used its attempts, and its other slots finish", () => {
  const world = startJob(jobSpec({ total: 2, maxAttempts: 1 }));
  for (let attempt = 0; attempt < 2; attempt += 1) {
    const task = runningTasks(world).find(({ slot }) => slot === 1);
    if (task !== undefined) endTask(world, task, TaskState.FAILED);
  }
  expect(world.service.job?.endedAtMs).toBe(0);
  endTask(world, singleTask(runningTasks(world)), TaskState.COMPLETE);
  expect(world.service.job).toMatchObject({ failed: true });
  expect(jobConvergence(world).reasons).toEqual([
    "slot 1: it was restarted once, as often as its policy allows (ended with exit code 1); 1 of 2 completed",
  ]);
});

test("a changed template begins a run once the previous tasks have stopped", () => {
  const world = startJob(jobSpec({ total: 1 }));
  const first = singleTask(runningTasks(world));
  world.change(jobSpec({ total: 1 }), { template: true });
  world.settle();
  expect(world.service.job?.iteration).toBe(2);
  expect(runningTasks(world)).toEqual([]);
  stopTasks(world);
  const second = singleTask(runningTasks(world));
  expect(second).toMatchObject({ slot: 1, jobIteration: 2 });
  endTask(world, second, TaskState.COMPLETE);
  expect(jobConvergence(world).converged).toBe(true);
  expect(world.tasks.get(first.id)?.desiredState).toBe(DesiredState.REMOVE);
});

test("a changed label restarts nothing, and more completions continue the run", () => {
  const world = startJob(jobSpec({ total: 1 }));
  endTask(world, singleTask(runningTasks(world)), TaskState.COMPLETE);
  world.change({ ...jobSpec({ total: 1 }), labels: { a: "b" } }, { template: false });
  world.settle();
  expect(runningTasks(world)).toEqual([]);
  world.change(jobSpec({ total: 2 }), { template: false });
  world.settle();
  expect(singleTask(runningTasks(world))).toMatchObject({ slot: 2, jobIteration: 1 });
});

test("a job with 0 completions completes, and fewer completions stop surplus tasks", () => {
  expect(startJob(jobSpec({ total: 0 })).service.job).toMatchObject({
    failed: false,
    message: "0 of 0 completed",
  });
  const world = startJob(jobSpec({ total: 3, maxConcurrent: 3 }));
  world.change(jobSpec({ total: 1, maxConcurrent: 1 }), { template: false });
  world.settle();
  expect(runningTasks(world).map(({ slot }) => slot)).toEqual([1]);
  stopTasks(world);
  endTask(world, singleTask(runningTasks(world)), TaskState.COMPLETE);
  expect(jobConvergence(world).converged).toBe(true);
});

test("a job that was being removed runs again when it is deployed again", () => {
  const world = startJob(jobSpec({ total: 1 }));
  endTask(world, singleTask(runningTasks(world)), TaskState.COMPLETE);
  const removing = { ...world.service, removing: true };
  const revived = applySpec(removing, jobSpec({ total: 1 }), { id: "s1", nowMs: world.nowMs });
  world.service = revived.service;
  world.settle();
  expect(singleTask(runningTasks(world))).toMatchObject({ jobIteration: 2 });
});

test("a task that fits no node waits with a reason", () => {
  const world = startJob(
    buildSpec({ ...jobSpec({ total: 1 }), placement: { constraints: ["node.labels.a == b"] } }),
  );
  expect([...world.tasks.values()]).toMatchObject([{ nodeId: "", status: { state: TaskState.NEW } }]);
  expect(jobConvergence(world).reasons[0]).toMatch(/^no suitable node: 2 nodes do not meet/);
});

test("the tasks of a drained node move to other nodes", () => {
  const world = startJob(jobSpec({ total: 1 }));
  const first = singleTask(runningTasks(world));
  world.setNode(first.nodeId, { availability: Availability.DRAIN });
  world.settle();
  stopTasks(world);
  expect(singleTask(runningTasks(world)).nodeId).not.toBe(first.nodeId);
});

test("a global job runs once on each node that existed when it began", () => {
  const world = startJob(globalJob(), 2);
  expect(
    runningTasks(world)
      .map(({ nodeId }) => nodeId)
      .sort(),
  ).toEqual(["n1", "n2"]);
  world.nowMs += 1_000;
  for (const node of buildNodes(3).slice(2)) world.nodes.set(node.id, { ...node, createdAtMs: world.nowMs });
  world.settle();
  expect(runningTasks(world)).toHaveLength(2);
  for (const task of runningTasks(world)) endTask(world, task, TaskState.COMPLETE);
  expect(world.service.job).toMatchObject({ failed: false, message: "2 of 2 completed" });
});

test("a global job waits for a node that went down before its task completed", () => {
  const world = startJob(globalJob(), 2);
  const [first, second] = runningTasks(world);
  if (first === undefined || second === undefined) throw new Error("two tasks expected");
  world.setNode(first.nodeId, { state: NodeState.DOWN });
  endTask(world, second, TaskState.COMPLETE);
  expect(world.service.job?.endedAtMs).toBe(0);
  expect(world.plan().problems).toEqual([`node ${first.nodeId}: node ${first.nodeId} is down`]);
  world.setNode(first.nodeId, { state: NodeState.READY });
  world.settle();
  endTask(world, singleTask(runningTasks(world)), TaskState.COMPLETE);
  expect(jobConvergence(world).converged).toBe(true);
});
