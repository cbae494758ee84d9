// Builds jobs for tests and ends their tasks.
import {
  type CronSpec_Concurrency,
  DesiredState,
  RestartPolicy_Condition,
  type ServiceSpec,
  type Task,
  TaskState,
} from "@berth/proto";
import { isEnded } from "../model/task-state.js";
import { convergence } from "../orchestrator/convergence.js";
import { buildSpec } from "./records.js";
import { buildNodes, World } from "./world.js";

interface JobOptions {
  readonly total: number;
  readonly maxConcurrent?: number;
  readonly maxAttempts?: number;
}

export function jobSpec({ total, maxConcurrent = 0, maxAttempts = 0 }: JobOptions): ServiceSpec {
  return buildSpec({
    mode: { $case: "replicatedJob", value: { totalCompletions: total, maxConcurrent } },
    task: {
      container: { image: "job:1" },
      restart: { condition: RestartPolicy_Condition.ON_FAILURE, maxAttempts },
    },
  });
}

export const globalJob = (): ServiceSpec => buildSpec({ mode: { $case: "globalJob", value: {} } });

export function cronSpec(concurrency: CronSpec_Concurrency, history = 3): ServiceSpec {
  return buildSpec({
    ...jobSpec({ total: 1 }),
    cron: { schedule: "@every 60s", concurrency, history },
  });
}

/** Returns a world in which a job has been started. */
export function startJob(spec: ServiceSpec, nodes = 2): World {
  const world = new World({ spec, nodes: buildNodes(nodes) });
  world.settle();
  return world;
}

/** Ends a task as its agent would report it, and reconciles. */
export function endTask(world: World, task: Task, state: TaskState): void {
  world.tasks.set(task.id, {
    ...task,
    status: {
      ports: [],
      addresses: [],
      stoppedExternally: false,
      errorCode: "",
      health: 0,
      containerId: "c",
      message: "",
      state,
      sinceMs: world.nowMs,
      exitCode: state === TaskState.COMPLETE ? 0 : 1,
    },
  });
  world.settle();
}

/** Ends every task that is to stop. */
export function stopTasks(world: World): void {
  for (const task of world.tasks.values()) {
    if (task.desiredState >= DesiredState.SHUTDOWN && !isEnded(task)) {
      endTask(world, task, TaskState.SHUTDOWN);
    }
  }
}

/** Returns the tasks that should run and occupy a node. */
export const runningTasks = (world: World): readonly Task[] =>
  world.occupying().filter(({ desiredState }) => desiredState === DesiredState.RUNNING);
/** Returns the only task of the list. Throws when there is not exactly one. */
export const singleTask = (tasks: readonly Task[]): Task => {
  const [task] = tasks;
  if (task === undefined || tasks.length !== 1) throw new Error(`expected 1 task, got ${tasks.length}`);
  return task;
};
/** Returns how far the job of a world is. */
export const jobConvergence = (world: World): ReturnType<typeof convergence> =>
  convergence(world.snapshot, world.cluster, world.nowMs);
