import { Availability, UpdateConfig_FailureAction, UpdateConfig_Order } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { isRolloutActive } from "../model/rollout.js";
import { isReady, shouldRun } from "../model/task-state.js";
import { buildSpec } from "../testing/records.js";
import { buildNodes, World } from "../testing/world.js";

const { STOP_FIRST, START_FIRST } = UpdateConfig_Order;
const LIMIT_MS = 3_600_000;

interface Setting {
  readonly order?: UpdateConfig_Order;
  readonly parallelism?: number;
  readonly image?: string;
}

const spec = ({ order = STOP_FIRST, parallelism = 1, image = "good:1" }: Setting = {}) =>
  buildSpec({
    mode: { $case: "replicated", value: { replicas: 6 } },
    task: { container: { image } },
    update: {
      order,
      parallelism,
      failureAction: UpdateConfig_FailureAction.PAUSE,
      progressDeadlineMs: 10_000,
    },
  });

/** Six replicas on two nodes, three on each; a third node stands by. */
function settledWorld(setting: Setting = {}): World {
  const world = new World({ spec: spec(setting), nodes: buildNodes(2) });
  world.runUntil(({ service }) => service.healthyVersion === 1, LIMIT_MS);
  const [third] = buildNodes(3).slice(-1);
  if (third !== undefined) world.nodes.set("n3", third);
  return world;
}

const serving = (world: World): number =>
  world.occupying().filter((task) => shouldRun(task) && isReady(task)).length;

const isEmpty = (world: World): boolean => world.occupying().every(({ nodeId }) => nodeId !== "n1");

/** Drains the first node and says how few tasks served meanwhile, and how many there were at most. */
function drain(world: World, isOver = isEmpty): { readonly fewest: number; readonly most: number } {
  world.setNode("n1", { availability: Availability.DRAIN });
  let fewest = serving(world);
  let most = world.occupying().length;
  world.runUntil((now) => {
    fewest = Math.min(fewest, serving(now));
    most = Math.max(most, now.occupying().length);
    return isOver(now);
  }, LIMIT_MS);
  return { fewest, most };
}

describe("draining a node", () => {
  it.each([
    [1, 5],
    [2, 4],
    [0, 3],
  ])("draining stop-first stops at most parallelism %i tasks at a time", (parallelism, fewest) => {
    expect(drain(settledWorld({ parallelism }))).toEqual({ fewest, most: 6 });
  });

  it.each([
    [1, 7],
    [2, 8],
    [0, 9],
  ])("draining start-first never has fewer ready tasks, with parallelism %i", (parallelism, most) => {
    expect(drain(settledWorld({ order: START_FIRST, parallelism }))).toEqual({ fewest: 6, most });
  });

  it("continues during a paused rollout, and moves each task in the version that it runs", () => {
    const world = settledWorld();
    world.deploy(spec({ image: "crashing:2" }));
    world.runUntil(({ service }) => !isRolloutActive(service.rollout), LIMIT_MS);
    drain(world);
    world.runUntil((now) => serving(now) >= 5, 60_000);
    const versions = world.occupying().map(({ specVersion }) => specVersion);
    expect(versions.filter((version) => version === 1)).toHaveLength(5);
  });

  it("waits for a moved slot that never becomes ready, reports it, and stops at the deadline", () => {
    const world = settledWorld();
    world.revisions.set(1, spec({ image: "never:1" }));
    drain(world, (now) => now.plan().problems.some((line) => line.includes("the drain waits for")));
    expect(serving(world)).toBe(5);
    const startMs = world.nowMs;
    drain(world);
    expect(world.nowMs - startMs).toBeGreaterThan(20_000);
  });
});
