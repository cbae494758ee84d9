import {
  Availability,
  CronSpec_Concurrency,
  DesiredState,
  NodeState,
  RestartPolicy_Condition,
  type ServiceSpec,
  type Task,
  TaskState,
} from "@berth/proto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { applySpec } from "./apply-spec.js";
import { convergence } from "./converge.js";
import { occupies } from "./occupancy.js";
import { isEnded, stateOf } from "./task-state.js";
import { buildSpec } from "./test-records.js";
import { World, worldNodes } from "./test-world.js";

type Job = { readonly total: number; readonly atOnce?: number; readonly maxAttempts?: number };

function jobSpec({ total, atOnce = 0, maxAttempts = 0 }: Job): ServiceSpec {
  return buildSpec({
    mode: { $case: "replicatedJob", value: { totalCompletions: total, maxConcurrent: atOnce } },
    task: {
      container: { image: "job:1" },
      restart: { condition: RestartPolicy_Condition.ON_FAILURE, maxAttempts },
    },
  });
}

const globalJob = (): ServiceSpec => buildSpec({ mode: { $case: "globalJob", value: {} } });

function cronSpec(concurrency: CronSpec_Concurrency, history = 3): ServiceSpec {
  return buildSpec({
    ...jobSpec({ total: 1 }),
    cron: { schedule: "@every 60s", concurrency, history },
  });
}

function started(spec: ServiceSpec, nodes = 2): World {
  const world = new World({ spec, nodes: worldNodes(nodes) });
  world.settle();
  return world;
}

/** Ends a task as its agent would report it, and lets the control plane see it. */
function end(world: World, task: Task, state: TaskState): void {
  world.tasks.set(task.id, {
    ...task,
    status: {
      ports: [],
      health: 0,
      containerId: "c",
      message: "",
      state,
      sinceMs: world.now,
      exitCode: state === TaskState.COMPLETE ? 0 : 1,
    },
  });
  world.settle();
}

/** Ends whatever was told to stop. */
function stopAll(world: World): void {
  for (const task of world.tasks.values()) {
    if (task.desiredState >= DesiredState.SHUTDOWN && !isEnded(task)) end(world, task, TaskState.SHUTDOWN);
  }
}

const live = (world: World): readonly Task[] =>
  world.live().filter(({ desiredState }) => desiredState === DesiredState.RUNNING);
const only = (tasks: readonly Task[]): Task => {
  const [task] = tasks;
  if (task === undefined || tasks.length !== 1) throw new Error(`${tasks.length} tasks, not one`);
  return task;
};
const state = (world: World): ReturnType<typeof convergence> => convergence(world.view, world.cluster);

test("a job runs as many tasks at a time as it may, until all have completed", () => {
  const world = started(jobSpec({ total: 5, atOnce: 2 }));
  expect(live(world).map(({ slot }) => slot)).toEqual([1, 2]);
  expect(state(world)).toMatchObject({ desired: 2, converged: false });
  while (live(world).length > 0) {
    const [first] = live(world);
    if (first !== undefined) end(world, first, TaskState.COMPLETE);
  }
  expect(world.service.job).toMatchObject({ iteration: 1, failed: false, message: "5 of 5 completed" });
  expect([...world.tasks.values()].map(({ slot }) => slot).sort()).toEqual([1, 2, 3, 4, 5]);
  expect(state(world)).toMatchObject({ desired: 0, converged: true, reasons: [] });
  expect(world.plan()).toEqual({ actions: [], problems: [] });
});

test("a task that fails is tried again in its slot, and again on another node when its own dies", () => {
  const world = started(jobSpec({ total: 1 }));
  const first = only(live(world));
  end(world, first, TaskState.FAILED);
  const second = only(live(world));
  expect(second).toMatchObject({ slot: 1, restarts: 1, jobIteration: 1 });
  world.setNode(second.nodeId, { state: NodeState.DOWN });
  world.settle();
  const third = only(live(world));
  expect(third.nodeId).not.toBe(second.nodeId);
  end(world, third, TaskState.COMPLETE);
  expect(state(world).converged).toBe(true);
});

test("a job fails when the attempts of a slot are used up, says why, and lets the other slots finish", () => {
  const world = started(jobSpec({ total: 2, maxAttempts: 1 }));
  for (let attempt = 0; attempt < 2; attempt += 1) {
    const task = live(world).find(({ slot }) => slot === 1);
    if (task !== undefined) end(world, task, TaskState.FAILED);
  }
  expect(world.service.job?.endedAtMs).toBe(0);
  end(world, only(live(world)), TaskState.COMPLETE);
  expect(world.service.job).toMatchObject({ failed: true });
  expect(state(world).reasons).toEqual([
    "slot 1: it was restarted 1 times, as often as its policy allows (exit code 1); 1 of 2 completed",
  ]);
});

test("another template begins another run, once the former tasks have stopped", () => {
  const world = started(jobSpec({ total: 1 }));
  const first = only(live(world));
  world.change(jobSpec({ total: 1 }), { template: true });
  world.settle();
  expect(world.service.job?.iteration).toBe(2);
  expect(live(world)).toEqual([]);
  stopAll(world);
  const second = only(live(world));
  expect(second).toMatchObject({ slot: 1, jobIteration: 2 });
  end(world, second, TaskState.COMPLETE);
  expect(state(world).converged).toBe(true);
  expect(world.tasks.get(first.id)?.desiredState).toBe(DesiredState.REMOVE);
});

test("labels and the like restart nothing, and more completions go on with the run", () => {
  const world = started(jobSpec({ total: 1 }));
  end(world, only(live(world)), TaskState.COMPLETE);
  world.change({ ...jobSpec({ total: 1 }), labels: { a: "b" } }, { template: false });
  world.settle();
  expect(live(world)).toEqual([]);
  world.change(jobSpec({ total: 2 }), { template: false });
  world.settle();
  expect(only(live(world))).toMatchObject({ slot: 2, jobIteration: 1 });
});

test("a job of no completions is done, and fewer completions stop what is too much", () => {
  expect(started(jobSpec({ total: 0 })).service.job).toMatchObject({
    failed: false,
    message: "0 of 0 completed",
  });
  const world = started(jobSpec({ total: 3, atOnce: 3 }));
  world.change(jobSpec({ total: 1, atOnce: 1 }), { template: false });
  world.settle();
  expect(live(world).map(({ slot }) => slot)).toEqual([1]);
  stopAll(world);
  end(world, only(live(world)), TaskState.COMPLETE);
  expect(state(world).converged).toBe(true);
});

test("a job that was being removed runs again when it is wanted again", () => {
  const world = started(jobSpec({ total: 1 }));
  end(world, only(live(world)), TaskState.COMPLETE);
  const removing = { ...world.service, removing: true };
  const revived = applySpec(removing, jobSpec({ total: 1 }), { id: "s1", now: world.now });
  world.service = revived.service;
  world.settle();
  expect(only(live(world))).toMatchObject({ jobIteration: 2 });
});

test("a task that finds no node waits and says why", () => {
  const world = started(
    buildSpec({ ...jobSpec({ total: 1 }), placement: { constraints: ["node.labels.a == b"] } }),
  );
  expect([...world.tasks.values()]).toMatchObject([{ nodeId: "", status: { state: TaskState.NEW } }]);
  expect(state(world).reasons[0]).toMatch(/^no node for it: 2 nodes do not meet/);
});

test("a drained node gives its tasks to others", () => {
  const world = started(jobSpec({ total: 1 }));
  const first = only(live(world));
  world.setNode(first.nodeId, { availability: Availability.DRAIN });
  world.settle();
  stopAll(world);
  expect(only(live(world)).nodeId).not.toBe(first.nodeId);
});

test("a global job runs once on each node that was there when it began", () => {
  const world = started(globalJob(), 2);
  expect(
    live(world)
      .map(({ nodeId }) => nodeId)
      .sort(),
  ).toEqual(["n1", "n2"]);
  world.now += 1_000;
  for (const node of worldNodes(3).slice(2)) world.nodes.set(node.id, { ...node, createdAtMs: world.now });
  world.settle();
  expect(live(world)).toHaveLength(2);
  for (const task of live(world)) end(world, task, TaskState.COMPLETE);
  expect(world.service.job).toMatchObject({ failed: false, message: "2 of 2 completed" });
});

test("a global job waits for a node that went down before it was done there", () => {
  const world = started(globalJob(), 2);
  const [first, second] = live(world);
  if (first === undefined || second === undefined) throw new Error("two tasks expected");
  world.setNode(first.nodeId, { state: NodeState.DOWN });
  end(world, second, TaskState.COMPLETE);
  expect(world.service.job?.endedAtMs).toBe(0);
  expect(world.plan().problems).toEqual([`node ${first.nodeId}: node ${first.nodeId} is down`]);
  world.setNode(first.nodeId, { state: NodeState.READY });
  world.settle();
  end(world, only(live(world)), TaskState.COMPLETE);
  expect(state(world).converged).toBe(true);
});

test("a cron job waits for its time, is in order meanwhile, and keeps the runs of its history alone", () => {
  const world = started(cronSpec(CronSpec_Concurrency.FORBID, 1));
  expect(live(world)).toEqual([]);
  expect(state(world).converged).toBe(true);
  for (let run = 1; run <= 3; run += 1) {
    world.now = world.dueMs ?? 0;
    world.settle();
    const task = only(live(world));
    expect(task.jobIteration).toBe(run);
    end(world, task, TaskState.COMPLETE);
  }
  expect(world.service.cron?.runs).toMatchObject([{ iteration: 3, failed: false }]);
  const kept = [...world.tasks.values()].filter(({ desiredState }) => desiredState < DesiredState.REMOVE);
  expect(kept.map(({ jobIteration }) => jobIteration)).toEqual([3]);
});

test.each([
  [CronSpec_Concurrency.ALLOW, [1, 2]],
  [CronSpec_Concurrency.FORBID, [1]],
  [CronSpec_Concurrency.REPLACE, [2]],
])("with concurrency %i the runs %j are on when the time comes again", (concurrency, iterations) => {
  const world = started(cronSpec(concurrency));
  for (let run = 1; run <= 2; run += 1) {
    world.now = world.service.cron?.nextRunAtMs ?? 0;
    world.settle();
  }
  stopAll(world);
  expect(live(world).map(({ jobIteration }) => jobIteration)).toEqual(iterations);
  const { message } = world.service.cron ?? {};
  if (concurrency === CronSpec_Concurrency.FORBID)
    expect(message).toMatch(/^skipped the run of .*: the one before is not done$/);
});

test("a forced update of a cron job runs it now, a changed template only the next time", () => {
  const world = started(cronSpec(CronSpec_Concurrency.FORBID));
  const { spec } = world;
  world.change(
    {
      ...spec,
      task: {
        container: undefined,
        limits: undefined,
        reservations: undefined,
        restart: undefined,
        forceUpdate: 0,
      },
    },
    { template: true },
  );
  world.settle();
  expect(live(world)).toEqual([]);
  world.change(
    {
      ...spec,
      task: {
        container: undefined,
        limits: undefined,
        reservations: undefined,
        restart: undefined,
        forceUpdate: 1,
      },
    },
    { template: true },
  );
  world.settle();
  expect(only(live(world)).jobIteration).toBe(1);
});

test("whatever fails, at most `max_concurrent` tasks exist at a time and each slot completes once", () => {
  const runs = fc.record({
    total: fc.integer({ min: 1, max: 8 }),
    atOnce: fc.integer({ min: 0, max: 4 }),
    events: fc.array(
      fc.record({
        pick: fc.nat(9),
        kind: fc.constantFrom("complete", "complete", "fail", "node", "drain", "update"),
        node: fc.integer({ min: 1, max: 2 }),
      }),
      { maxLength: 40 },
    ),
  });
  fc.assert(
    fc.property(runs, ({ total, atOnce, events }) => {
      const spec = jobSpec({ total, atOnce });
      const world = started(spec);
      const check = (): void => {
        expect(world.live().length).toBeLessThanOrEqual(atOnce || total);
        const slots = world.live().map(({ slot }) => slot);
        expect(new Set(slots).size).toBe(slots.length);
      };
      for (const { pick, kind, node } of events) {
        world.now += 1_000;
        play(world, { pick, kind, node: `n${node}`, spec });
        check();
      }
      for (const id of world.nodes.keys())
        world.setNode(id, { state: NodeState.READY, availability: Availability.ACTIVE });
      for (let round = 0; round < 200 && world.service.job?.endedAtMs === 0; round += 1) {
        world.now += 60_000;
        world.settle();
        stopAll(world);
        for (const task of live(world)) end(world, task, TaskState.COMPLETE);
        check();
      }
      const done = [...world.tasks.values()].filter(
        (task) => task.jobIteration === world.service.job?.iteration && stateOf(task) === TaskState.COMPLETE,
      );
      expect(done.map(({ slot }) => slot).sort((a, b) => a - b)).toEqual(
        Array.from({ length: total }, (_, index) => index + 1),
      );
      expect(state(world).converged).toBe(![...world.tasks.values()].some(occupies));
    }),
    { numRuns: 100 },
  );
});

function play(world: World, event: { pick: number; kind: string; node: string; spec: ServiceSpec }): void {
  const { pick, kind, node, spec } = event;
  const tasks = world.live();
  const task = tasks[pick % Math.max(1, tasks.length)];
  const { state: nodeState, availability } = world.nodes.get(node) ?? {};
  if (kind === "node")
    world.setNode(node, { state: nodeState === NodeState.READY ? NodeState.DOWN : NodeState.READY });
  if (kind === "drain") {
    const { ACTIVE, DRAIN } = Availability;
    world.setNode(node, { availability: availability === ACTIVE ? DRAIN : ACTIVE });
  }
  if (kind === "update") world.change(spec, { template: true });
  world.settle();
  if (task === undefined || !world.tasks.has(task.id) || isEnded(world.tasks.get(task.id) ?? task)) return;
  if (kind === "complete") end(world, task, TaskState.COMPLETE);
  if (kind === "fail") end(world, task, TaskState.FAILED);
}
