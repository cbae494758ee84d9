import {
  Availability,
  UpdateConfig_FailureAction as FailureAction,
  UpdateConfig_Order as Order,
  type ServiceSpec,
  Rollout_State as State,
  type Task,
  TaskState,
  TaskStatus,
} from "@berth/proto";
import { describe, expect, it } from "vitest";
import { isRolloutActive } from "../model/rollout.js";
import { isPending, isReady, shouldRun } from "../model/task-state.js";
import { buildSpec } from "../testing/records.js";
import { buildNodes, World } from "../testing/world.js";
import { convergence } from "./convergence.js";

const LIMIT_MS = 3_600_000;
const { PAUSE, CONTINUE, ROLLBACK } = FailureAction;
const { START_FIRST, STOP_FIRST } = Order;

interface Change {
  readonly image?: string;
  readonly constraints?: string[];
  readonly replicas?: number;
  readonly update?: NonNullable<Parameters<typeof buildSpec>[0]>["update"];
  readonly rollback?: NonNullable<Parameters<typeof buildSpec>[0]>["rollback"];
}

function spec({
  image = "good:1",
  constraints = [],
  replicas = 3,
  update = {},
  ...rest
}: Change = {}): ServiceSpec {
  return buildSpec({
    mode: { $case: "replicated", value: { replicas } },
    placement: { constraints },
    task: { container: { image } },
    update,
    ...rest,
  });
}

/** Version 1 runs well on three nodes. */
function settledWorld(first: ServiceSpec = spec()): World {
  const world = new World({ spec: first, nodes: buildNodes(3) });
  world.runUntil(({ service }) => service.healthyVersion === 1, LIMIT_MS);
  return world;
}

const isOver = ({ service }: World): boolean => !isRolloutActive(service.rollout);

/** Deploys a change and lets the rollout come to its end. */
function after(world: World, change: Change): World {
  world.deploy(spec(change));
  world.runUntil(isOver, LIMIT_MS);
  return world;
}

const serving = (world: World): readonly Task[] =>
  world.occupying().filter((task) => isReady(task) && shouldRun(task));

const imagesOf = (world: World): readonly string[] =>
  serving(world)
    .map(({ specVersion }) => world.revisions.get(specVersion)?.task?.container?.image ?? "")
    .sort();

const idsOf = (world: World): readonly string[] =>
  serving(world)
    .map(({ id }) => id)
    .sort();

describe("a rollout of a good version", () => {
  it.each([
    ["stop-first", STOP_FIRST],
    ["start-first", START_FIRST],
  ])("%s completes, and becomes the target of the next rollback", (_name, order) => {
    const world = after(settledWorld(), { image: "good:2", update: { order } });
    expect(world.service).toMatchObject({ version: 2, healthyVersion: 2, earlierHealthyVersions: [1] });
    expect(world.service.rollout).toMatchObject({
      state: State.COMPLETED,
      fromVersion: 1,
      toVersion: 2,
      updatedSlots: 3,
    });
    expect(imagesOf(world)).toEqual(["good:2", "good:2", "good:2"]);
    world.settleOverTime();
    expect(convergence(world.snapshot, world.cluster, world.nowMs).reasons).toEqual([]);
  });

  it("does not begin with the first deployment, nor with changes that replace no task", () => {
    const world = settledWorld();
    const before = idsOf(world);
    after(world, { constraints: ["node.role != x"], update: { parallelism: 2 } });
    expect(world.service).toMatchObject({ version: 2, templateVersion: 1, rollout: undefined });
    world.runUntil(({ service }) => service.healthyVersion === 2, LIMIT_MS);
    expect(idsOf(world)).toEqual(before);
  });

  it("the next change supersedes a rollout of a good version", () => {
    const world = settledWorld();
    world.deploy(spec({ image: "good:2" }));
    world.settle();
    after(world, { image: "good:3" });
    expect(world.service.rollout).toMatchObject({ state: State.COMPLETED, fromVersion: 2, toVersion: 3 });
    expect(imagesOf(world)).toEqual(["good:3", "good:3", "good:3"]);
  });

  it("restarts no task that it has not reached when it is undone", () => {
    const world = settledWorld();
    const before = idsOf(world);
    world.deploy(spec({ image: "good:2" }));
    world.runUntil(({ service }) => (service.rollout?.updatedSlots ?? 0) >= 1, LIMIT_MS);
    const kept = before.filter((id) => idsOf(world).includes(id));
    expect(kept.length).toBeGreaterThan(0);
    after(world, {});
    expect(world.service).toMatchObject({ version: 3, templateVersion: 1 });
    expect(idsOf(world)).toEqual(expect.arrayContaining([...kept]));
    expect(imagesOf(world)).toEqual(["good:1", "good:1", "good:1"]);
  });
});

const BAD: readonly [string, Change][] = [
  ["crashing", { image: "crashing:2" }],
  ["never healthy", { image: "never:2" }],
  ["unpullable", { image: "unpullable:2" }],
  ["unplaceable", { image: "good:2", constraints: ["node.id == nowhere"] }],
];

describe.each(BAD)("a rollout of a version that is %s", (_name, bad) => {
  it.each([STOP_FIRST, START_FIRST])("a failed rollout is rolled back by default (order %i)", (order) => {
    const world = settledWorld();
    const before = idsOf(world);
    after(world, { ...bad, update: { order } });
    const { rollout, version, templateVersion } = world.service;
    expect(rollout).toMatchObject({ state: State.ROLLBACK_COMPLETED, fromVersion: 2, toVersion: 3 });
    expect(rollout?.message).toContain("the update to version 2 failed (");
    expect(rollout?.message).toContain("rolled back to version 1");
    expect({ version, templateVersion }).toEqual({ version: 3, templateVersion: 1 });
    expect(imagesOf(world)).toEqual(["good:1", "good:1", "good:1"]);
    const kept = before.filter((id) => idsOf(world).includes(id)).length;
    expect(kept).toBe(order === START_FIRST ? 3 : 2);
    world.settleOverTime();
    expect(convergence(world.snapshot, world.cluster, world.nowMs).reasons).toEqual([]);
  });

  it.each([STOP_FIRST, START_FIRST])(
    "pauses with failure action pause, and replaces nothing more, order %i",
    (order) => {
      const world = after(settledWorld(), { ...bad, update: { order, failureAction: PAUSE } });
      expect(world.service).toMatchObject({ version: 2, healthyVersion: 1 });
      expect(world.service.rollout).toMatchObject({ state: State.PAUSED, failedCount: 1 });
      expect(imagesOf(world).length).toBeGreaterThanOrEqual(2);
      expect(convergence(world.snapshot, world.cluster, world.nowMs).reasons[0]).toContain("it is paused");
      const endMs = world.nowMs + 600_000;
      world.runUntil(({ nowMs }) => nowMs >= endMs, LIMIT_MS);
      expect(world.service.rollout?.state).toBe(State.PAUSED);
      // What never ran leaves its room to what did.
      const restored = order === START_FIRST || ["good:2", "unpullable:2"].includes(bad.image ?? "");
      expect(imagesOf(world).filter((image) => image === "good:1").length).toBe(restored ? 3 : 2);
    },
  );

  it.each([STOP_FIRST, START_FIRST])(
    "continues with failure action continue, and ends, order %i",
    (order) => {
      const world = after(settledWorld(), { ...bad, update: { order, failureAction: CONTINUE } });
      expect(world.service.rollout).toMatchObject({ state: State.COMPLETED, failedCount: 3 });
      expect(world.service.rollout?.message).toContain("3 of 3 slots failed");
      expect(world.service.healthyVersion).toBe(1);
    },
  );

  it("pauses when no version was healthy", () => {
    const world = new World({ spec: spec({ image: "crashing:1" }), nodes: buildNodes(3) });
    world.runUntil((now) => [...now.tasks.values()].some(({ restarts }) => restarts > 2), LIMIT_MS);
    after(world, bad);
    expect(world.service.rollout?.state).toBe(State.PAUSED);
    expect(world.service.rollout?.message).toContain("no other version was healthy");
  });

  it("begins again when it is deployed again", () => {
    const world = after(settledWorld(), bad);
    const versionBefore = world.service.version;
    after(world, bad);
    expect(world.service.rollout).toMatchObject({ state: State.ROLLBACK_COMPLETED });
    expect(world.service.rollout?.fromVersion).toBe(versionBefore + 1);
  });
});

describe("a rollout", () => {
  it("tolerates the configured failure ratio", () => {
    const world = settledWorld(spec({ replicas: 2 }));
    world.setNode("n3", { availability: Availability.DRAIN });
    const crash = { replicas: 2, image: "crashing:2", update: { maxFailureRatio: 1 } };
    after(world, crash);
    expect(world.service.rollout).toMatchObject({ state: State.COMPLETED, failedCount: 2 });
    const half = after(settledWorld(spec({ replicas: 2 })), { ...crash, update: { maxFailureRatio: 0.5 } });
    expect(half.service.rollout?.state).toBe(State.ROLLBACK_COMPLETED);
  });

  it("pauses when its rollback fails too", () => {
    const world = settledWorld();
    const rollback = { failureAction: ROLLBACK, progressDeadlineMs: 1_000 };
    world.revisions.set(1, spec({ image: "unpullable:1" }));
    after(world, { image: "crashing:2", rollback, update: { parallelism: 0, order: STOP_FIRST } });
    expect(world.service.rollout?.state).toBe(State.ROLLBACK_PAUSED);
    expect(world.service.rollout?.message).toContain("the rollback to version 3 failed");
  });

  it("pauses when the restored healthy version fails, though all of its tasks were gone", () => {
    const world = settledWorld();
    world.deploy(spec({ image: "good:2" }));
    world.runUntil(({ service }) => (service.rollout?.updatedSlots ?? 0) >= 1, LIMIT_MS);
    for (const { id, specVersion } of [...world.tasks.values()]) {
      if (specVersion === 1) world.tasks.delete(id);
    }
    world.deploy(spec());
    world.settle();
    for (const { id, specVersion } of world.occupying()) world.advance(id, { fails: specVersion === 3 });
    world.runUntil(isOver, LIMIT_MS);
    expect(world.service).toMatchObject({ version: 3, templateVersion: 3, healthyVersion: 1 });
    expect(world.service.rollout?.state).toBe(State.PAUSED);
  });

  it("resumes from a pause when the policy or a constraint changes, not when the service is scaled", () => {
    const bad = { image: "good:2", constraints: ["node.id == nowhere"], update: { failureAction: PAUSE } };
    const world = after(settledWorld(), bad);
    after(world, { ...bad, replicas: 4 });
    expect(world.service.rollout?.state).toBe(State.PAUSED);
    world.runUntil((now) => imagesOf(now).length === 4, 60_000);
    expect(imagesOf(world)).toEqual(["good:1", "good:1", "good:1", "good:1"]);
    after(world, { ...bad, replicas: 4, constraints: [] });
    expect(world.service.rollout?.state).toBe(State.COMPLETED);
    expect(imagesOf(world)).toEqual(["good:2", "good:2", "good:2", "good:2"]);
  });

  it("restarts failed tasks in their own version while it is paused", () => {
    const world = after(settledWorld(), { image: "never:2", update: { failureAction: PAUSE } });
    const [victim] = world.occupying().filter(isReady);
    world.advance(victim?.id ?? "", { fails: true });
    world.runUntil((now) => imagesOf(now).length === 3, 60_000);
    expect(imagesOf(world)).toEqual(["good:1", "good:1", "good:1"]);
    expect(world.service.rollout?.state).toBe(State.PAUSED);
  });

  it("completes from a pause once every slot is ready", () => {
    const update = { failureAction: PAUSE, parallelism: 0, order: STOP_FIRST };
    const world = after(settledWorld(), { image: "never:2", update });
    expect(world.service.rollout?.state).toBe(State.PAUSED);
    for (const task of world.occupying()) {
      const status = TaskStatus.fromPartial({ state: TaskState.RUNNING, sinceMs: world.nowMs });
      world.tasks.set(task.id, { ...task, status });
    }
    world.runUntil(({ service }) => service.rollout?.state === State.COMPLETED, 60_000);
    expect(world.service.healthyVersion).toBe(2);
  });

  it("moves the tasks of a drained node in their own version while it is paused", () => {
    const world = after(settledWorld(), { image: "crashing:2", update: { failureAction: PAUSE } });
    world.setNode("n1", { availability: Availability.DRAIN });
    world.runUntil((now) => now.occupying().every(({ nodeId }) => nodeId !== "n1"), 60_000);
    expect(imagesOf(world)).toEqual(["good:1", "good:1", "good:1"]);
  });

  it("settles while it is paused, though tasks of two versions fit no node", () => {
    const world = after(settledWorld(), {
      image: "crashing:2",
      update: { failureAction: PAUSE, parallelism: 2 },
    });
    for (const id of world.nodes.keys()) world.setNode(id, { availability: Availability.PAUSE });
    for (const task of world.occupying()) world.advance(task.id, { fails: true });
    world.nowMs += 600_000;
    world.settle();
    expect([...world.tasks.values()].filter((task) => isPending(task)).length).toBe(3);
    expect(world.plan()).toMatchObject({ actions: [] });
    expect(world.plan().requeueAtMs ?? Number.POSITIVE_INFINITY).toBeGreaterThan(world.nowMs);
  });
});

/** Lets a task be rejected by its agent, as after a fault of the host. */
function reject(world: World, task: Task, message: string): void {
  const status = TaskStatus.fromPartial({ state: TaskState.REJECTED, message, sinceMs: world.nowMs });
  world.tasks.set(task.id, { ...task, status });
  world.settle();
}

/** Rejects every task of version 2 that is placed on one of these nodes, until the rollout ends. */
function rejectOn(world: World, nodeIds: readonly string[]): void {
  const message = "driver failed programming external connectivity";
  for (let round = 0; round < 100 && !isOver(world); round += 1) {
    const [rejected] = world
      .occupying()
      .filter(({ specVersion, nodeId }) => specVersion === 2 && nodeIds.includes(nodeId));
    if (rejected !== undefined) {
      reject(world, rejected, message);
    } else {
      world.runUntil(
        (now) => isOver(now) || now.occupying().some((task) => isNewOn(task, nodeIds)),
        LIMIT_MS,
      );
    }
  }
}

const isNewOn = (task: Task, nodeIds: readonly string[]): boolean =>
  task.specVersion === 2 && nodeIds.includes(task.nodeId) && !isReady(task);

describe("a rejection during a rollout", () => {
  it("does not fail the rollout when one node is the cause, and the slot runs on another node", () => {
    const world = settledWorld();
    world.deploy(spec({ image: "good:2" }));
    world.settle();
    rejectOn(world, ["n1"]);
    expect(world.service.rollout).toMatchObject({ state: State.COMPLETED, failedCount: 0 });
    expect(serving(world).map(({ nodeId }) => nodeId)).not.toContain("n1");
    expect(imagesOf(world)).toEqual(["good:2", "good:2", "good:2"]);
    const rejected = [...world.tasks.values()].find(({ status }) => status?.state === TaskState.REJECTED);
    expect(rejected?.status?.message).toContain("driver failed programming");
  });

  it("fails the rollout once a second node rejects the version", () => {
    const world = settledWorld();
    world.deploy(spec({ image: "good:2" }));
    world.settle();
    rejectOn(world, ["n1", "n2"]);
    expect(world.service.rollout?.message).toContain("driver failed programming");
    expect(world.service.rollout?.state).toBe(State.ROLLBACK_COMPLETED);
  });

  it("fails the rollout at once when no other node can run the task", () => {
    const world = settledWorld(spec({ constraints: ["node.id == n1"] }));
    world.deploy(spec({ image: "good:2", constraints: ["node.id == n1"] }));
    world.settle();
    const [task] = world.occupying().filter(({ specVersion }) => specVersion === 2);
    if (task === undefined) throw new Error("no task of version 2 was placed");
    reject(world, task, "the port is in use");
    expect(world.service.rollout?.message).toContain("the port is in use");
  });
});

describe("an automatic rollback", () => {
  it("keeps the scale that was set after the failed version was deployed", () => {
    const world = settledWorld();
    world.deploy(spec({ image: "never:2" }));
    world.settle();
    world.deploy(spec({ image: "never:2", replicas: 5 }));
    world.runUntil(isOver, LIMIT_MS);
    expect(world.service.rollout?.state).toBe(State.ROLLBACK_COMPLETED);
    expect(world.spec.mode).toEqual({ $case: "replicated", value: { replicas: 5 } });
    world.settleOverTime();
    expect(imagesOf(world)).toEqual(["good:1", "good:1", "good:1", "good:1", "good:1"]);
  });

  it("keeps labels that changed later, and takes back a constraint of the failed version", () => {
    const world = settledWorld();
    const failing = spec({ image: "never:2", constraints: ["node.id != n3"] });
    world.deploy(failing);
    world.settle();
    world.deploy({ ...failing, labels: { team: "shop" } });
    world.runUntil(isOver, LIMIT_MS);
    expect(world.spec).toMatchObject({
      labels: { team: "shop" },
      placement: { constraints: [] },
      task: { container: { image: "good:1" } },
    });
  });
});
