import { CronSpec_Concurrency, DesiredState, TaskSpec, TaskState } from "@berth/proto";
import { expect, test } from "vitest";
import {
  cronSpec,
  endTask,
  jobConvergence,
  runningTasks,
  singleTask,
  startJob,
  stopTasks,
} from "../testing/jobs.js";

test("a cron job waits for its time, counts as converged meanwhile, and keeps only the runs of its history", () => {
  const world = startJob(cronSpec(CronSpec_Concurrency.FORBID, 1));
  expect(runningTasks(world)).toEqual([]);
  expect(jobConvergence(world).converged).toBe(true);
  for (let run = 1; run <= 3; run += 1) {
    world.nowMs = world.dueMs ?? 0;
    world.settle();
    const task = singleTask(runningTasks(world));
    expect(task.jobIteration).toBe(run);
    endTask(world, task, TaskState.COMPLETE);
  }
  expect(world.service.cron?.runs).toMatchObject([{ iteration: 3, failed: false }]);
  const kept = [...world.tasks.values()].filter(({ desiredState }) => desiredState < DesiredState.REMOVE);
  expect(kept.map(({ jobIteration }) => jobIteration)).toEqual([3]);
});

test.each([
  [CronSpec_Concurrency.ALLOW, [1, 2]],
  [CronSpec_Concurrency.FORBID, [1]],
  [CronSpec_Concurrency.REPLACE, [2]],
])("with concurrency %i the runs %j are active after the next scheduled time", (concurrency, iterations) => {
  const world = startJob(cronSpec(concurrency));
  for (let run = 1; run <= 2; run += 1) {
    world.nowMs = world.service.cron?.nextRunAtMs ?? 0;
    world.settle();
  }
  stopTasks(world);
  expect(runningTasks(world).map(({ jobIteration }) => jobIteration)).toEqual(iterations);
  const { message } = world.service.cron ?? {};
  if (concurrency === CronSpec_Concurrency.FORBID) {
    expect(message).toMatch(/^skipped the run of .*: the previous run has not ended$/);
  }
});

test("a forced update of a cron job runs it now, a changed template only the next time", () => {
  const world = startJob(cronSpec(CronSpec_Concurrency.FORBID));
  const { spec } = world;
  const container = { image: "job:2" };
  world.change({ ...spec, task: TaskSpec.fromPartial({ container }) }, { template: true });
  world.settle();
  expect(runningTasks(world)).toEqual([]);
  world.change({ ...spec, task: TaskSpec.fromPartial({ container, forceUpdate: 1 }) }, { template: true });
  world.settle();
  expect(singleTask(runningTasks(world)).jobIteration).toBe(1);
});

test("a run does not continue when its job is removed and deployed again", () => {
  const world = startJob(cronSpec(CronSpec_Concurrency.FORBID));
  world.nowMs = world.dueMs ?? 0;
  world.settle();
  expect(singleTask(runningTasks(world)).jobIteration).toBe(1);
  world.service = { ...world.service, removing: true };
  world.tasks.clear();
  world.deploy(world.spec);
  world.settle();
  expect(runningTasks(world)).toEqual([]);
  expect(world.service.cron?.runs).toEqual([]);
  world.nowMs = world.dueMs ?? 0;
  world.settle();
  expect(singleTask(runningTasks(world)).jobIteration).toBe(2);
});
