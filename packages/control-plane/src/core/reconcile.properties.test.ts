import {
  Availability,
  DesiredState,
  NodeState,
  type Task,
  TaskState,
  UpdateConfig_Order,
} from "@berth/proto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Action } from "./model/plan.js";
import { endText, isEnded, isPending, isReady, shouldRun, stateOf } from "./model/task-state.js";
import { convergence } from "./orchestrator/convergence.js";
import { replicasOf } from "./orchestrator/desired-slots.js";
import { unreadyReason } from "./orchestrator/slot-state.js";
import { reconcile } from "./reconcile.js";
import { buildContext, buildSnapshot, buildSpec, CPU, clusterSnapshot, GIB } from "./testing/records.js";
import { applyEvent, history, historyWithReorders, NODES, play } from "./testing/service-histories.js";
import { buildNodes, World } from "./testing/world.js";

/** Raise it for one run to look for rare faults. */
const PROPERTY_OPTIONS = { numRuns: 100 };
const { STOP_FIRST, START_FIRST } = UpdateConfig_Order;

const slotOf = (task: Task): string => (task.slot === 0 ? task.nodeId : String(task.slot));

function count<T>(items: readonly T[], key: (item: T) => string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(key(item), (counts.get(key(item)) ?? 0) + 1);
  return counts;
}

/** Words, and nothing that a missing value leaves in a text. */
const READABLE = /^(?!.*(?:undefined|NaN|\[object|\(\)|: $))\S+ \S+/;

describe("reconcile over random histories", { timeout: 60_000 }, () => {
  it("settles with every task that fits running once faults stop", () => {
    fc.assert(
      fc.property(historyWithReorders, (input) => {
        const world = play(input, () => undefined);
        for (const id of world.nodes.keys()) {
          world.setNode(id, { state: NodeState.READY, availability: Availability.ACTIVE });
        }
        world.settleOverTime();
        const { converged, desired, running, reasons } = convergence(
          world.snapshot,
          world.cluster,
          world.nowMs,
        );
        const waiting = [...world.tasks.values()].filter(isPending);
        expect(reasons.length > 0).toBe(!converged);
        expect(converged).toBe(waiting.length === 0);
        expect(running + waiting.length).toBeGreaterThanOrEqual(desired);
        expect(world.occupying().every((task) => shouldRun(task))).toBe(true);
      }),
      PROPERTY_OPTIONS,
    );
  });

  it("a stop-first service never has two live tasks in a slot, a start-first one never more than two", () => {
    fc.assert(
      fc.property(history, (input) => {
        const limit = input.spec.update?.order === START_FIRST ? 2 : 1;
        play(input, (world) => {
          const live = world.occupying().filter(({ id }) => !world.wereDisconnected.has(id));
          for (const tasks of count(live, slotOf).values()) expect(tasks).toBeLessThanOrEqual(limit);
        });
      }),
      PROPERTY_OPTIONS,
    );
  });

  it("never has more slots that should run than replicas", () => {
    fc.assert(
      fc.property(history, (input) => {
        play(input, (world) => {
          const wanted = [...world.tasks.values()].filter((task) => shouldRun(task) && !isEnded(task));
          const limit = world.spec.mode?.$case === "global" ? NODES : replicasOf(world.spec);
          const pending = wanted.filter((task) => slotOf(task) === "");
          const slots = count(wanted, slotOf).size - (pending.length > 0 ? 1 : 0);
          expect(slots).toBeLessThanOrEqual(limit);
          expect(pending.length).toBeLessThanOrEqual(NODES);
        });
      }),
    );
  });

  it("never over-commits a node, its host ports or the limit per node", () => {
    fc.assert(
      fc.property(history, (input) => {
        play(input, (world) => {
          const max = world.spec.placement?.maxReplicasPerNode ?? 0;
          const isGlobal = world.spec.mode?.$case === "global";
          const { nanoCpus = 0, memoryBytes = 0 } = world.spec.task?.reservations ?? {};
          for (const tasks of count(world.occupying(), (task) => task.nodeId).values()) {
            expect(tasks * nanoCpus).toBeLessThanOrEqual(4 * CPU);
            expect(tasks * memoryBytes).toBeLessThanOrEqual(8 * GIB);
            if (world.spec.ports.length > 0) expect(tasks).toBe(1);
            if (max > 0 && !isGlobal) expect(tasks).toBeLessThanOrEqual(max);
          }
        });
      }),
      PROPERTY_OPTIONS,
    );
  });

  it("stops a ready, current task only to scale down or because of its node", () => {
    fc.assert(
      fc.property(history, (input) => {
        let replicas = replicasOf(input.spec);
        const observe = (action: Action, world: World): void => {
          if (action.kind !== "set-desired-state" || !isReady(action.task) || !shouldRun(action.task)) return;
          if (action.task.specVersion < world.service.templateVersion) return;
          const { availability } = world.nodes.get(action.task.nodeId) ?? {};
          const twin = world
            .occupying()
            .some((task) => task !== action.task && slotOf(task) === slotOf(action.task) && isReady(task));
          const scaledDown = replicasOf(world.spec) < replicas && action.desired === DesiredState.REMOVE;
          expect(scaledDown || twin || availability === Availability.DRAIN).toBe(true);
        };
        play(input, (world) => (replicas = replicasOf(world.spec)), observe);
      }),
      PROPERTY_OPTIONS,
    );
  });

  it("gives every task that does not run a readable reason", () => {
    fc.assert(
      fc.property(history, (input) => {
        play(input, (world) => {
          for (const task of world.tasks.values()) {
            const message = task.status?.message ?? "";
            if (isPending(task) || stateOf(task) === TaskState.LOST) {
              expect(message).toMatch(READABLE);
            } else if (isEnded(task)) {
              expect(endText(task)).toMatch(READABLE);
            } else if (!isReady(task)) {
              expect(unreadyReason(task)).toMatch(READABLE);
            }
          }
        });
      }),
    );
  });

  it("gives every service that has not converged readable reasons", () => {
    fc.assert(
      fc.property(history, (input) => {
        play(input, (world) => {
          const { converged, reasons } = convergence(world.snapshot, world.cluster, world.nowMs);
          expect(reasons.length === 0).toBe(converged);
          for (const reason of reasons) expect(reason).toMatch(READABLE);
        });
      }),
    );
  });

  it("keeps the history of a slot short", () => {
    fc.assert(
      fc.property(history, (input) => {
        play(input, (world) => {
          const ended = [...world.tasks.values()].filter(
            (task) => isEnded(task) && task.desiredState < DesiredState.REMOVE,
          );
          for (const tasks of count(ended, slotOf).values()) expect(tasks).toBeLessThanOrEqual(5);
        });
      }),
    );
  });

  it("gives the same plan whatever the order of tasks and nodes", () => {
    fc.assert(
      fc.property(history, fc.infiniteStream(fc.nat()), (input, keys) => {
        play(input, (world) => {
          world.nowMs += 1_000;
          const shuffle = <T>(items: Iterable<T>): readonly T[] =>
            [...items]
              .map((item) => ({ item, key: keys.next().value }))
              .sort((a, b) => a.key - b.key)
              .map(({ item }) => item);
          const plan = (tasks: readonly Task[], nodes: typeof world.cluster.nodes) =>
            reconcile(
              buildSnapshot({ ...world.snapshot, tasks }),
              clusterSnapshot(nodes),
              buildContext({ nowMs: world.nowMs }),
            );
          const { nodes } = world.cluster;
          const straight = plan(world.snapshot.tasks, nodes);
          const shuffled = plan(shuffle(world.snapshot.tasks), new Map(shuffle(nodes)));
          const byTask = (actions: readonly Action[]): readonly Action[] =>
            [...actions].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
          expect(byTask(shuffled.actions)).toEqual(byTask(straight.actions));
          expect(shuffled.requeueAtMs).toBe(straight.requeueAtMs);
        });
      }),
      PROPERTY_OPTIONS,
    );
  });

  it("removes a service and all its records, also with nodes down", () => {
    fc.assert(
      fc.property(history, (input) => {
        const world = play(input, () => undefined);
        world.service = { ...world.service, removing: true };
        world.settleOverTime();
        expect(world.isRemoved).toBe(true);
        expect(world.tasks.size).toBe(0);
      }),
    );
  });

  it("ends balanced after scaling up, down and up again", () => {
    const size = fc.integer({ min: 0, max: 20 });
    fc.assert(
      fc.property(
        fc.array(size, { minLength: 1, maxLength: 6 }),
        fc.integer({ min: 1, max: 6 }),
        (sizes, nodes) => {
          const world = new World({ spec: buildSpec(), nodes: buildNodes(nodes) });
          for (const replicas of sizes) {
            applyEvent(world, { kind: "scale", replicas });
            world.settleOverTime();
            expectBalanced(world);
            expect(world.occupying().length).toBe(replicas);
          }
        },
      ),
    );
  });
});

describe("an update", () => {
  it("leaves a balanced service balanced, and every slot on the new version", () => {
    const size = fc.integer({ min: 1, max: 12 });
    const order = fc.constantFrom(STOP_FIRST, START_FIRST);
    fc.assert(
      fc.property(
        size,
        fc.integer({ min: 1, max: 5 }),
        fc.nat(3),
        order,
        (replicas, nodes, parallelism, how) => {
          const made = buildSpec({
            mode: { $case: "replicated", value: { replicas } },
            update: { parallelism, order: how },
          });
          const world = new World({ spec: made, nodes: buildNodes(nodes) });
          world.settleOverTime();
          applyEvent(world, { kind: "update" });
          world.settleOverTime();
          expect(world.occupying().every((task) => task.specVersion === 2 && isReady(task))).toBe(true);
          expectBalanced(world);
        },
      ),
    );
  });
});

function expectBalanced(world: World): void {
  const counts = [...world.nodes.keys()].map(
    (id) => world.occupying().filter((task) => task.nodeId === id).length,
  );
  expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
}

const keyOf = (action: Action): string => ("task" in action ? `${action.task.id}/${action.kind}` : "");
