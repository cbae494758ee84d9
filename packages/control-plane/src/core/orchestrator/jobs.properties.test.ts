import { Availability, NodeState, type ServiceSpec, TaskState } from "@berth/proto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { isEnded, stateOf } from "../model/task-state.js";
import { occupiesNode } from "../scheduler/resource-request.js";
import { endTask, jobConvergence, jobSpec, runningTasks, startJob, stopTasks } from "../testing/jobs.js";
import type { World } from "../testing/world.js";

test("at most `max_concurrent` tasks exist at a time and each slot completes once, whatever fails", () => {
  const runs = fc.record({
    total: fc.integer({ min: 1, max: 8 }),
    maxConcurrent: fc.integer({ min: 0, max: 4 }),
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
    fc.property(runs, ({ total, maxConcurrent, events }) => {
      const spec = jobSpec({ total, maxConcurrent });
      const world = startJob(spec);
      const check = (): void => {
        expect(world.occupying().length).toBeLessThanOrEqual(maxConcurrent || total);
        const slots = world.occupying().map(({ slot }) => slot);
        expect(new Set(slots).size).toBe(slots.length);
      };
      for (const { pick, kind, node } of events) {
        world.nowMs += 1_000;
        play(world, { pick, kind, node: `n${node}`, spec });
        check();
      }
      for (const id of world.nodes.keys()) {
        world.setNode(id, { state: NodeState.READY, availability: Availability.ACTIVE });
      }
      for (let round = 0; round < 200 && world.service.job?.endedAtMs === 0; round += 1) {
        world.nowMs += 60_000;
        world.settle();
        stopTasks(world);
        for (const task of runningTasks(world)) endTask(world, task, TaskState.COMPLETE);
        check();
      }
      const done = [...world.tasks.values()].filter(
        (task) => task.jobIteration === world.service.job?.iteration && stateOf(task) === TaskState.COMPLETE,
      );
      expect(done.map(({ slot }) => slot).sort((a, b) => a - b)).toEqual(
        Array.from({ length: total }, (_, index) => index + 1),
      );
      expect(jobConvergence(world).converged).toBe(![...world.tasks.values()].some(occupiesNode));
    }),
    { numRuns: 100 },
  );
});

function play(world: World, event: { pick: number; kind: string; node: string; spec: ServiceSpec }): void {
  const { pick, kind, node, spec } = event;
  const tasks = world.occupying();
  const task = tasks[pick % Math.max(1, tasks.length)];
  const { state: nodeState, availability } = world.nodes.get(node) ?? {};
  if (kind === "node") {
    world.setNode(node, { state: nodeState === NodeState.READY ? NodeState.DOWN : NodeState.READY });
  }
  if (kind === "drain") {
    const { ACTIVE, DRAIN } = Availability;
    world.setNode(node, { availability: availability === ACTIVE ? DRAIN : ACTIVE });
  }
  if (kind === "update") world.change(spec, { template: true });
  world.settle();
  if (task === undefined || !world.tasks.has(task.id) || isEnded(world.tasks.get(task.id) ?? task)) return;
  if (kind === "complete") endTask(world, task, TaskState.COMPLETE);
  if (kind === "fail") endTask(world, task, TaskState.FAILED);
}
