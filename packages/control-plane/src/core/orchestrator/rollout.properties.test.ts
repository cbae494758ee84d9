import {
  Availability,
  DesiredState,
  type Service,
  Rollout_State as State,
  type Task,
  UpdateConfig_Order,
} from "@berth/proto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Action } from "../model/plan.js";
import { isRolloutActive } from "../model/rollout.js";
import { isReady } from "../model/task-state.js";
import { templateVersionAt } from "../model/template.js";
import {
  applyEvent,
  buildWorld,
  endFaults,
  type RolloutHistory,
  rolloutHistory,
} from "../testing/rollout-histories.js";
import type { World } from "../testing/world.js";
import { replicasOf } from "./desired-slots.js";

/** A fault that a hundred histories miss is found by raising this for one run. */
const PROPERTY_OPTIONS = { numRuns: 100 };

/** For each of at most six slots a deadline, a crash loop's longest pause, and what the config adds; and back again. */
const BOUND_MS = 2 * 7 * (60_000 + 75_000 + 20_000);

type Check = (world: World) => void;

function play(
  history: RolloutHistory,
  check: Check,
  observe?: (action: Action, world: World) => void,
): World {
  const world = buildWorld(history, observe);
  world.settle();
  for (const event of history.events) {
    world.nowMs += 10;
    applyEvent(world, event, history);
    world.settle();
    check(world);
  }
  return world;
}

const slotOf = ({ slot, nodeId }: Task): string => (slot === 0 ? nodeId : String(slot));

function bySlot(tasks: readonly Task[]): ReadonlyMap<string, readonly Task[]> {
  const slots = new Map<string, readonly Task[]>();
  for (const task of tasks) slots.set(slotOf(task), [...(slots.get(slotOf(task)) ?? []), task]);
  return slots;
}

const surplus = (tasks: readonly Task[]): number =>
  [...bySlot(tasks).values()].reduce((sum, { length }) => sum + length - 1, 0);

/** What goes because the service shrinks is no surplus of its rollout. */
const inUse = (world: World): readonly Task[] =>
  world.occupying().filter(({ desiredState }) => desiredState < DesiredState.REMOVE);

describe("rollouts over random histories", { timeout: 60_000 }, () => {
  it("a stop-first rollout never has two tasks of a slot", () => {
    fc.assert(
      fc.property(rolloutHistory, (input) => {
        const history = { ...input, order: UpdateConfig_Order.STOP_FIRST };
        play(history, (world) => expect(surplus(world.occupying())).toBe(0));
      }),
      PROPERTY_OPTIONS,
    );
  });

  it("a start-first rollout has two tasks in at most `parallelism` slots, and only to replace one of them", () => {
    fc.assert(
      fc.property(rolloutHistory, (input) => {
        const history = { ...input, order: UpdateConfig_Order.START_FIRST };
        play(history, (world) => {
          if (history.parallelism > 0) expect(surplus(inUse(world))).toBeLessThanOrEqual(history.parallelism);
          for (const tasks of bySlot(world.occupying()).values()) {
            expect(tasks.length).toBeLessThanOrEqual(2);
            if (tasks.length === 2) expect(isReplacement(tasks, world)).toBe(true);
          }
        });
      }),
      PROPERTY_OPTIONS,
    );
  });

  it("every rollout ends", () => {
    fc.assert(
      fc.property(rolloutHistory, (history) => {
        const world = play(history, () => undefined);
        endFaults(world);
        world.runUntil(({ service }) => !isRolloutActive(service.rollout), BOUND_MS);
      }),
      PROPERTY_OPTIONS,
    );
  });

  it("an automatic rollback restores the newest version that was ready in all slots", () => {
    fc.assert(
      fc.property(rolloutHistory, (history) => {
        const observe = (action: Action, world: World): void => {
          if (action.kind !== "update-service") return;
          const { service } = action;
          if (service.healthyVersion !== world.service.healthyVersion) expectHealthy(service, world);
          if (service.version === world.service.version) return;
          const target = world.revisions.get(world.service.healthyVersion);
          expect(service.spec).toEqual(target);
          expect(service.rollout?.state).toBe(State.ROLLING_BACK);
          expect(service.templateVersion).not.toBe(world.service.templateVersion);
        };
        play(history, () => undefined, observe);
      }),
      PROPERTY_OPTIONS,
    );
  });

  it("a rollout only moves to the states that may follow its state", () => {
    fc.assert(
      fc.property(rolloutHistory, (history) => {
        const observe = (action: Action, { service: before }: World): void => {
          if (action.kind !== "update-service") return;
          const [from, to] = [before.rollout, action.service.rollout];
          expect(to === undefined).toBe(from === undefined);
          if (from === undefined || to === undefined) return;
          expect([from.state, ...(NEXT[from.state] ?? [])]).toContain(to.state);
          if (to.toVersion === from.toVersion) {
            expect(to.updatedSlots).toBeGreaterThanOrEqual(from.updatedSlots);
            expect(to.failedCount).toBeGreaterThanOrEqual(from.failedCount);
          }
        };
        play(history, () => undefined, observe);
      }),
      PROPERTY_OPTIONS,
    );
  });

  it("a change of leader at any time does not change the result", () => {
    fc.assert(
      fc.property(rolloutHistory, fc.infiniteStream(fc.nat(3)), (history, dice) => {
        const straight = play(history, () => undefined);
        const changed = play(history, (world) => {
          if (dice.next().value === 0) world.changeLeader();
        });
        changed.changeLeader();
        straight.changeLeader();
        expect(changed.service).toEqual(straight.service);
        expect([...changed.tasks.values()]).toEqual([...straight.tasks.values()]);
      }),
      PROPERTY_OPTIONS,
    );
  });

  it("a good version becomes ready in all slots, whatever happened before", () => {
    fc.assert(
      fc.property(rolloutHistory, (history) => {
        const world = play(history, () => undefined);
        endFaults(world);
        applyEvent(world, { kind: "deploy", version: "good", failureAction: 1 }, history);
        const { version } = world.service;
        const isThere = ({ service }: World): boolean => service.healthyVersion === version;
        if (history.isGlobal || replicasOf(world.spec) > 0) world.runUntil(isThere, BOUND_MS);
      }),
      PROPERTY_OPTIONS,
    );
  });
});

const NEXT: Readonly<Partial<Record<State, readonly State[]>>> = {
  [State.UPDATING]: [State.PAUSED, State.COMPLETED, State.ROLLING_BACK],
  [State.PAUSED]: [State.COMPLETED],
  [State.ROLLING_BACK]: [State.ROLLBACK_PAUSED, State.ROLLBACK_COMPLETED],
  [State.ROLLBACK_PAUSED]: [State.ROLLBACK_COMPLETED],
};

/** When a slot has two tasks, one replaces the other: its template is newer, its node is to be left, or it is already stopping. */
function isReplacement(tasks: readonly Task[], world: World): boolean {
  const templates = new Set(tasks.map(({ specVersion }) => templateVersionAt(world.service, specVersion)));
  const isStopping = tasks.some(({ desiredState }) => desiredState > DesiredState.RUNNING);
  const isDrained = tasks.some(({ nodeId }) => world.nodes.get(nodeId)?.availability === Availability.DRAIN);
  return templates.size > 1 || isStopping || isDrained;
}

function expectHealthy(service: Service, world: World): void {
  const well = world.occupying().filter((task) => isReady(task));
  const current = well.filter(
    ({ specVersion }) =>
      templateVersionAt(service, specVersion) === templateVersionAt(service, service.healthyVersion),
  );
  const least = world.spec.mode?.$case === "global" ? 1 : replicasOf(world.spec);
  expect(bySlot(current).size).toBeGreaterThanOrEqual(least);
}
