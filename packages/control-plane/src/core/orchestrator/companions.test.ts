import {
  Availability,
  DesiredState,
  type Node,
  NodeState,
  RestartPolicy_Condition,
  type ServiceSpec,
  TaskState,
} from "@berth/proto";
import { describe, expect, it } from "vitest";
import { isReady, stateOf } from "../model/task-state.js";
import { CompanionWorld, runningTasks } from "../testing/companion-world.js";
import { buildNode, buildSpec, GIB } from "../testing/records.js";
import { convergence } from "./convergence.js";

type Part = Parameters<typeof buildSpec>[0];

const replicated = (replicas: number): NonNullable<Part>["mode"] => ({
  $case: "replicated",
  value: { replicas },
});

const ownerSpec = (over: Part = {}): ServiceSpec => buildSpec({ mode: replicated(3), ...over });

const companionSpec = (over: Part = {}, shared: object = { network: "shop_web" }): ServiceSpec =>
  buildSpec({
    name: "shop_proxy",
    mode: replicated(3),
    ...over,
    task: { ...over.task, container: { image: "proxy:1", ...over.task?.container, sharing: shared } },
  });

const nodesOf = (count: number): readonly Node[] =>
  Array.from({ length: count }, (_, index) =>
    buildNode({ id: `n${index + 1}`, description: { protocolVersion: 2 } }),
  );

function settled(owner = ownerSpec(), companion = companionSpec(), nodeCount = 3): CompanionWorld {
  const world = new CompanionWorld({ owner, companion, nodes: nodesOf(nodeCount) });
  world.settleOverTime();
  return world;
}

/** Checks that each task of the companion runs beside the task of its owner with the same slot. */
function expectBeside({ owner, companion }: CompanionWorld): void {
  const owners = runningTasks(owner);
  expect(
    runningTasks(companion).map(({ slot, nodeId, owners: [one] }) => [slot, nodeId, one?.taskId]),
  ).toEqual(owners.map(({ slot, nodeId, id }) => [slot, nodeId, id]));
  expect(runningTasks(companion).every(isReady)).toBe(true);
}

describe("a companion", () => {
  it("runs on the node of the task with the same slot", () => {
    const world = settled();
    expectBeside(world);
    expect(runningTasks(world.companion)).toHaveLength(3);
    expect(
      convergence(world.companion.snapshot, world.companion.cluster, world.companion.nowMs),
    ).toMatchObject({
      desired: 3,
      running: 3,
      converged: true,
    });
  });

  it("waits, with a reason, while its owner has no node", () => {
    const owner = ownerSpec({ placement: { constraints: ["node.labels.zone == a"] } });
    const { companion } = settled(owner);
    const [task] = companion.tasks.values();
    expect(task?.status).toMatchObject({ state: TaskState.NEW, message: "waiting for task shop_web.1" });
    const { reasons } = convergence(companion.snapshot, companion.cluster, companion.nowMs);
    expect(reasons).toContain("waiting for task shop_web.1");
  });

  it("waits, with a reason, while the node of its owner has no room", () => {
    const companion = companionSpec({ task: { reservations: { memoryBytes: 6 * GIB } } });
    const owner = ownerSpec({
      task: { container: { image: "web:1" }, reservations: { memoryBytes: 4 * GIB } },
    });
    const world = settled(owner, companion);
    const messages = [...world.companion.tasks.values()].map(({ status }) => status?.message);
    expect(messages[0]).toMatch(/^it runs beside its owner on n\d: 1 node /);
  });

  it("has the slots of its owner after it is scaled in either direction", () => {
    const world = settled();
    world.owner.deploy(ownerSpec({ mode: replicated(5) }));
    world.settleOverTime();
    expectBeside(world);
    expect(runningTasks(world.companion)).toHaveLength(5);
    world.owner.deploy(ownerSpec({ mode: replicated(2) }));
    world.settleOverTime();
    expectBeside(world);
    expect(runningTasks(world.companion)).toHaveLength(2);
  });

  it("follows an update of its owner, and starts beside the new task before the old one stops", () => {
    const world = settled();
    const before = new Set(runningTasks(world.companion).map(({ id }) => id));
    world.owner.deploy(ownerSpec({ task: { container: { image: "web:2" } } }));
    let fewest = 3;
    world.settleOverTime(() => {
      fewest = Math.min(fewest, runningTasks(world.companion).filter(isReady).length);
    });
    expectBeside(world);
    expect(runningTasks(world.companion).some(({ id }) => before.has(id))).toBe(false);
    expect(fewest).toBe(3);
  });

  it("a companion is replaced alone by its own update, and stops first because it shares a network", () => {
    const world = settled();
    const owners = runningTasks(world.owner).map(({ id }) => id);
    world.companion.deploy(companionSpec({ task: { container: { image: "proxy:2" } } }));
    let most = 0;
    world.settleOverTime(() => {
      most = Math.max(most, runningTasks(world.companion).length);
    });
    expectBeside(world);
    expect(most).toBe(3);
    expect(runningTasks(world.owner).map(({ id }) => id)).toEqual(owners);
    expect(runningTasks(world.companion).every(({ specVersion }) => specVersion === 2)).toBe(true);
  });

  it("a companion is replaced when the task beside which it runs fails", () => {
    const world = settled();
    const [task] = runningTasks(world.owner);
    const [companion] = runningTasks(world.companion);
    world.owner.advance(task?.id ?? "", { fails: true });
    world.step();
    expect(world.companion.tasks.get(companion?.id ?? "")).toMatchObject({
      desiredState: DesiredState.SHUTDOWN,
    });
    world.settleOverTime();
    expectBeside(world);
  });

  it("moves with its owner when their node dies", () => {
    const world = settled();
    world.setNode("n1", { state: NodeState.DOWN });
    world.settleOverTime();
    expectBeside(world);
    expect(runningTasks(world.companion).every(({ nodeId }) => nodeId !== "n1")).toBe(true);
    world.setNode("n1", { state: NodeState.READY });
    world.settleOverTime();
    expectBeside(world);
  });

  it("stays with a task that waits for its node", () => {
    const world = settled(ownerSpec({ failover: { never: true } }));
    world.setNode("n1", { state: NodeState.DOWN });
    world.settleOverTime();
    const waiting = [...world.companion.tasks.values()].filter(({ nodeId }) => nodeId === "");
    expect(waiting.map(({ status }) => status?.message)).toEqual(["waiting for task shop_web.1"]);
  });

  it("leaves a drained node after its owner", () => {
    const world = settled();
    world.setNode("n1", { availability: Availability.DRAIN });
    world.settleOverTime();
    expectBeside(world);
    expect(runningTasks(world.companion).every(({ nodeId }) => nodeId !== "n1")).toBe(true);
  });

  it("a companion of an at-most-one service never has two tasks in a slot", () => {
    const world = settled(ownerSpec(), companionSpec({ atMostOne: true }));
    world.owner.deploy(ownerSpec({ task: { container: { image: "web:2" } } }));
    world.settleOverTime(() => {
      const slots = runningTasks(world.companion).map(({ slot }) => slot);
      expect(new Set(slots).size).toBe(slots.length);
    });
    expectBeside(world);
  });

  it("that is global runs on the nodes of its owner", () => {
    const mode = { $case: "global", value: {} } as const;
    const world = settled(ownerSpec({ mode }), companionSpec({ mode }));
    expectBeside(world);
    expect(runningTasks(world.companion)).toHaveLength(3);
    world.setNode("n2", { availability: Availability.DRAIN });
    world.settleOverTime();
    expectBeside(world);
    expect(runningTasks(world.companion)).toHaveLength(2);
  });

  it("that uses only the mounts of a task runs beside it after it has completed", () => {
    const restart = { condition: RestartPolicy_Condition.ON_FAILURE };
    const owner = ownerSpec({ task: { container: { image: "data:1" }, restart } });
    const companion = companionSpec({}, { mounts: [{ service: "shop_web", readOnly: false }] });
    const world = settled(owner, companion);
    for (const task of runningTasks(world.owner)) {
      const { status } = task;
      if (status === undefined) continue;
      world.owner.tasks.set(task.id, { ...task, status: { ...status, state: TaskState.COMPLETE } });
    }
    const before = runningTasks(world.companion).map(({ id }) => id);
    world.settleOverTime();
    expect([...world.owner.tasks.values()].every((task) => stateOf(task) === TaskState.COMPLETE)).toBe(true);
    expect(runningTasks(world.companion).map(({ id }) => id)).toEqual(before);
  });

  it("that is a job runs beside the task with the same slot, and again when that is replaced", () => {
    const mode = { $case: "replicatedJob", value: { totalCompletions: 2, maxConcurrent: 2 } } as const;
    const world = new CompanionWorld({
      owner: ownerSpec(),
      companion: companionSpec({ mode }),
      nodes: nodesOf(3),
    });
    world.settleOverTime();
    const owners = new Map(runningTasks(world.owner).map((task) => [task.slot, task]));
    const jobs = runningTasks(world.companion);
    expect(jobs.map(({ slot, nodeId }) => [slot, nodeId])).toEqual([
      [1, owners.get(1)?.nodeId],
      [2, owners.get(2)?.nodeId],
    ]);
    world.owner.deploy(ownerSpec({ task: { container: { image: "web:2" } } }));
    world.settleOverTime();
    const current = new Set(runningTasks(world.owner).map(({ id }) => id));
    expect(runningTasks(world.companion).map(({ owners: [one] }) => current.has(one?.taskId ?? ""))).toEqual([
      true,
      true,
    ]);
  });
});
