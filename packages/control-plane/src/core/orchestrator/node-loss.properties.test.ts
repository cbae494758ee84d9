import { NodeState, RestartPolicy_Condition, type Task } from "@berth/proto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Action } from "../model/plan.js";
import { isDisconnected, isReady, shouldRun } from "../model/task-state.js";
import { occupiesNode } from "../scheduler/resource-request.js";
import { buildSpec } from "../testing/records.js";
import { applyEvent } from "../testing/service-histories.js";
import { buildNodes, World } from "../testing/world.js";
import { convergence } from "./convergence.js";

const NODES = 3;
const REPLICAS = 4;

type Failover = { readonly never?: boolean; readonly afterMs?: number };

/** A service that runs all it should, with its tasks spread over all nodes. */
function running(
  failover: Failover = {},
  atMostOne = false,
  observe: (action: Action, world: World) => void = () => undefined,
): World {
  const spec = buildSpec({
    mode: { $case: "replicated", value: { replicas: REPLICAS } },
    failover,
    atMostOne,
    task: { container: { image: "web:1" }, restart: { condition: RestartPolicy_Condition.ANY } },
  });
  const world = new World({ spec, nodes: buildNodes(NODES), observe });
  world.settleOverTime();
  return world;
}

const power = (world: World, id: string, state: NodeState): void => {
  world.setNode(id, { state });
  world.settle();
};

/** Agents take so many steps, which may leave replacements half way. */
function work(world: World, rounds: number): void {
  for (let round = 0; round < rounds; round += 1) {
    for (const task of [...world.tasks.values()]) world.advance(task.id, { fails: false });
    world.nowMs += 50;
    world.settle();
  }
}

const on = (world: World, nodeId: string): readonly Task[] =>
  [...world.tasks.values()].filter((task) => task.nodeId === nodeId && occupiesNode(task));

const ids = (tasks: readonly Task[]): readonly string[] => tasks.map(({ id }) => id).sort();

describe("a node that goes down and returns", () => {
  it("continues its tasks if their replacements are not ready by then, and loses them otherwise", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 6 }), (rounds) => {
        const world = running();
        const originals = ids(on(world, "n1"));
        power(world, "n1", NodeState.DOWN);
        work(world, rounds);
        const replaced = world.occupying().filter(isReady).length === REPLICAS;
        power(world, "n1", NodeState.READY);
        for (const id of originals) world.advance(id, { fails: false });
        world.settleOverTime();
        const kept = ids(on(world, "n1")).filter((id) => originals.includes(id));
        expect(kept).toEqual(replaced ? [] : originals);
        expect(world.occupying()).toHaveLength(REPLICAS);
        expect(convergence(world.snapshot, world.cluster, world.nowMs).converged).toBe(true);
      }),
    );
  });

  it("never stops a ready task unless another task of its slot is ready", () => {
    const event = fc.record({
      node: fc.integer({ min: 1, max: NODES }),
      state: fc.constantFrom(NodeState.READY, NodeState.DOWN),
      rounds: fc.nat(4),
    });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 12 }), (events) => {
        const world = running();
        for (const { node, state, rounds } of events) {
          const before = world.occupying().filter((task) => isReady(task) && shouldRun(task));
          power(world, `n${node}`, state);
          for (const { id, slot } of before) {
            const after = world.tasks.get(id);
            const isStopped = after !== undefined && !shouldRun(after);
            const twin = world
              .occupying()
              .some((task) => task.id !== id && task.slot === slot && isReady(task));
            expect(isStopped && !twin).toBe(false);
          }
          work(world, rounds);
        }
        for (const id of world.nodes.keys()) world.setNode(id, { state: NodeState.READY });
        world.settleOverTime();
        expect(world.occupying()).toHaveLength(REPLICAS);
        expect([...world.tasks.values()].some(isDisconnected)).toBe(false);
      }),
    );
  });
});

describe("failover: after", () => {
  it("replaces no task before the delay, with a reason, and every task after it", () => {
    const world = running({ afterMs: 10_000 });
    const originals = ids(on(world, "n1"));
    power(world, "n1", NodeState.DOWN);
    expect(world.dueMs).toBe(world.nowMs + 10_000);
    expect(ids(on(world, "n1"))).toEqual(originals);
    const { converged, reasons } = convergence(world.snapshot, world.cluster, world.nowMs);
    expect([converged, reasons.join()]).toEqual([
      false,
      expect.stringMatching(/node n1 is down; its tasks wait for it \(failover: after 10 s\)/),
    ]);
    world.nowMs += 10_000;
    world.settleOverTime();
    expect(world.occupying().map(({ nodeId }) => nodeId)).not.toContain("n1");
    expect(world.occupying()).toHaveLength(REPLICAS);
  });

  it("continues the tasks when the node returns in time", () => {
    const world = running({ afterMs: 10_000 });
    const before = ids(world.occupying());
    power(world, "n1", NodeState.DOWN);
    world.nowMs += 9_000;
    power(world, "n1", NodeState.READY);
    world.settleOverTime();
    expect(ids(world.occupying())).toEqual(before);
  });
});

describe("failover: never", () => {
  it("waits for the node indefinitely, unless the service is changed or scaled", () => {
    const world = running({ never: true });
    power(world, "n1", NodeState.DOWN);
    world.nowMs += 30 * 86_400_000;
    world.settleOverTime();
    expect(world.occupying().length).toBeLessThan(REPLICAS);
    expect(convergence(world.snapshot, world.cluster, world.nowMs).reasons.join()).toMatch(/failover: never/);
    applyEvent(world, { kind: "scale", replicas: 1 });
    world.settleOverTime();
    expect(convergence(world.snapshot, world.cluster, world.nowMs).converged).toBe(true);
  });
});

/** A task that may still run on an unreachable node keeps its record, and so its slot. */
function forgetsNoneThatMayRun(action: Action, world: World): void {
  if (action.kind !== "delete-task" || !occupiesNode(action.task)) return;
  const node = world.nodes.get(action.task.nodeId);
  expect(node?.state === NodeState.DOWN && !node.fenced).toBe(false);
}

describe("at-most-one", () => {
  it("never has two running or disconnected tasks in a slot before the node is fenced", () => {
    const event = fc.oneof(
      fc.record({
        kind: fc.constantFrom("down" as const, "up" as const, "fence" as const),
        node: fc.integer({ min: 1, max: NODES }),
      }),
      fc.record({ kind: fc.constant("work" as const), node: fc.constant(0) }),
      fc.record({ kind: fc.constant("update" as const), node: fc.constant(0) }),
      fc.record({ kind: fc.constant("scale" as const), node: fc.nat(REPLICAS) }),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 25 }), (events) => {
        const world = running({}, true, forgetsNoneThatMayRun);
        for (const { kind, node } of events) {
          const id = `n${node}`;
          const isDown = world.nodes.get(id)?.state === NodeState.DOWN;
          if (kind === "down") world.setNode(id, { state: NodeState.DOWN });
          if (kind === "up") world.setNode(id, { state: NodeState.READY });
          if (kind === "fence" && isDown) world.setNode(id, { fenced: true });
          if (kind === "update") applyEvent(world, { kind: "update" });
          if (kind === "scale") applyEvent(world, { kind: "scale", replicas: node });
          world.settle();
          if (kind === "work") work(world, 1);
          const slots = [...world.tasks.values()].filter(occupiesNode).map(({ slot }) => slot);
          expect(new Set(slots).size).toBe(slots.length);
        }
      }),
    );
  });

  it("keeps its slot on a down node until the node is fenced, even when it is scaled down or removed", () => {
    const world = running({}, true);
    const hidden = ids(on(world, "n1"));
    power(world, "n1", NodeState.DOWN);
    applyEvent(world, { kind: "scale", replicas: 0 });
    world.settleOverTime();
    expect(ids([...world.tasks.values()])).toEqual(hidden);
    applyEvent(world, { kind: "scale", replicas: REPLICAS });
    world.settleOverTime();
    const taken = new Set(on(world, "n1").map(({ slot }) => slot));
    expect(world.occupying().filter(({ slot }) => taken.has(slot))).toEqual([]);
    world.service = { ...world.service, removing: true };
    world.settleOverTime();
    expect(ids([...world.tasks.values()])).toEqual(hidden);
    expect(convergence(world.snapshot, world.cluster, world.nowMs).reasons.join()).toMatch(
      /nodes that are down: not replaced until/,
    );
    world.setNode("n1", { fenced: true });
    world.settleOverTime();
    expect(world.isRemoved).toBe(true);
  });

  it("replaces the task once the node is fenced, and gives a reason until then", () => {
    const world = running({}, true);
    power(world, "n1", NodeState.DOWN);
    world.nowMs += 3_600_000;
    world.settleOverTime();
    expect(convergence(world.snapshot, world.cluster, world.nowMs).reasons.join()).toMatch(
      /not replaced until the node is fenced/,
    );
    world.setNode("n1", { fenced: true });
    world.settleOverTime();
    expect(world.occupying()).toHaveLength(REPLICAS);
  });
});
