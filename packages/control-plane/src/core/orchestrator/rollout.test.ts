import {
  Availability,
  DesiredState,
  Rollout_State,
  type Task,
  TaskState,
  UpdateConfig_Order,
} from "@berth/proto";
import { describe, expect, it } from "vitest";
import { describeAction as lineFor, type Plan } from "../model/plan.js";
import { reconcile } from "../reconcile.js";
import {
  buildCluster,
  buildContext,
  buildNode,
  buildService,
  buildSnapshot,
  buildSpec,
  buildTask,
  idSequence,
} from "../testing/records.js";

const NOW = 1_000_000;
const service = buildService({
  version: 2,
  templateVersion: 2,
  healthyVersion: 1,
  rollout: {
    state: Rollout_State.UPDATING,
    fromVersion: 1,
    toVersion: 2,
    progressedAtMs: NOW,
    updatedSlots: 3,
  },
});
const settled = buildService({ version: 2, templateVersion: 2 });
const { START_FIRST, STOP_FIRST } = UpdateConfig_Order;

interface Situation {
  readonly tasks: readonly Task[];
  readonly update?: {
    parallelism?: number;
    delayMs?: number;
    monitorMs?: number;
    order?: typeof START_FIRST;
  };
  readonly drained?: boolean;
}

const linesOf = (plan: Plan): readonly string[] => plan.actions.map(lineFor);

/** Three replicas on three nodes, version 2 being rolled out. */
function planFor({ tasks, update = {}, drained = false }: Situation): Plan {
  const spec = buildSpec({
    mode: { $case: "replicated", value: { replicas: 3 } },
    update: { order: STOP_FIRST, monitorMs: 0, ...update },
  });
  const nodes = ["n1", "n2", "n3"].map((id) =>
    buildNode({ id, availability: drained && id === "n1" ? Availability.DRAIN : Availability.ACTIVE }),
  );
  const snapshot = buildSnapshot({ service: drained ? settled : service, spec, tasks });
  return reconcile(
    snapshot,
    buildCluster(nodes, [snapshot]),
    buildContext({ nowMs: NOW, newId: idSequence("new") }),
  );
}

const stopped = (plan: Plan): readonly string[] =>
  plan.actions.flatMap((action) => (action.kind === "set-desired-state" ? [action.task.id] : []));
const made = (plan: Plan): readonly number[] =>
  plan.actions.flatMap((action) => (action.kind === "create-task" ? [action.task.slot] : []));

const task = (slot: number, specVersion: number, over: Parameters<typeof buildTask>[0] = {}): Task =>
  buildTask({
    id: `v${specVersion}-${slot}`,
    slot,
    nodeId: `n${slot}`,
    specVersion,
    createdAtMs: specVersion,
    ...over,
  });
const old = (slot: number, over = {}): Task => task(slot, 1, over);
const young = (slot: number, over = {}): Task => task(slot, 2, over);
const inState = (state: TaskState, sinceMs = NOW): Parameters<typeof buildTask>[0] => ({
  status: { state, sinceMs },
});
const ENDED = { desiredState: DesiredState.SHUTDOWN, ...inState(TaskState.SHUTDOWN) };

describe("rolling update", () => {
  it("replaces one slot at a time by default", () => {
    expect(stopped(planFor({ tasks: [old(1), old(2), old(3)] }))).toEqual(["v1-1"]);
  });

  it.each([
    [2, ["v1-1", "v1-2"]],
    [0, ["v1-1", "v1-2", "v1-3"]],
  ])("replaces as many as parallelism %i says", (parallelism, ids) => {
    expect(stopped(planFor({ tasks: [old(1), old(2), old(3)], update: { parallelism } }))).toEqual(ids);
  });

  it("updates slots without a ready task first", () => {
    const tasks = [old(1), old(2), old(3, inState(TaskState.STARTING))];
    expect(stopped(planFor({ tasks }))).toEqual(["v1-3"]);
  });

  it("continues once the batch is ready", () => {
    expect(stopped(planFor({ tasks: [young(1), old(1, ENDED), old(2), old(3)] }))).toEqual(["v1-2"]);
  });

  it.each<[string, readonly Task[], string]>([
    [
      "is stopping",
      [old(1, { desiredState: DesiredState.SHUTDOWN })],
      "slot 1: a previous task has not stopped yet",
    ],
    ["is starting", [young(1, inState(TaskState.STARTING)), old(1, ENDED)], "slot 1: it is starting"],
  ])("waits while a slot of the batch %s, with a reason", (_name, slot, why) => {
    const plan = planFor({ tasks: [...slot, old(2), old(3)] });
    expect(stopped(plan)).toEqual([]);
    expect(plan.problems).toContain(`the update waits for ${why}`);
  });

  it("pauses between batches and requests to be called again", () => {
    const since = NOW - 4_000;
    const tasks = [young(1, inState(TaskState.RUNNING, since)), old(2), old(3)];
    const plan = planFor({ tasks, update: { delayMs: 10_000 } });
    expect(plan).toMatchObject({ actions: [], requeueAtMs: since + 10_000 });
    expect(stopped(planFor({ tasks, update: { delayMs: 4_000 } }))).toEqual(["v1-2"]);
  });

  it("updates a slot without a ready task at once", () => {
    const plan = planFor({ tasks: [old(1, { restarts: 9, ...inState(TaskState.FAILED) }), old(2), old(3)] });
    expect(made(plan)).toEqual([1]);
    expect(stopped(plan)).toEqual([]);
  });

  it("replaces a task that has no node without counting it", () => {
    const waiting = { nodeId: "", status: { state: TaskState.NEW, message: "no room" } };
    const plan = planFor({ tasks: [old(1, waiting), old(2), old(3)] });
    expect(linesOf(plan)).toEqual([
      "delete task v1-1 (shop_web.1): another task fills its slot",
      "stop task v1-2 (shop_web.2): a newer version replaces it",
      "create task new1 (shop_web.1) on node n1",
    ]);
  });

  it("a start-first update keeps the old task until the new one counts as updated", () => {
    const update = { order: START_FIRST };
    const all = [old(1), old(2), old(3)];
    expect(planFor({ tasks: all, update }).actions.map(lineFor)).toEqual([
      "create task new1 (shop_web.1) on node n1",
    ]);
    expect(planFor({ tasks: [...all, young(1, inState(TaskState.STARTING))], update }).actions).toEqual([]);
    const running = [...all, young(1, inState(TaskState.RUNNING, NOW - 900))];
    const early = planFor({ tasks: running, update: { ...update, monitorMs: 1_000 } });
    expect(early).toMatchObject({ actions: [], requeueAtMs: NOW + 100 });
    expect(stopped(planFor({ tasks: running, update: { ...update, monitorMs: 900 } }))).toEqual(["v1-1"]);
  });
});

describe("an update that supersedes another", () => {
  const update = { order: START_FIRST };
  const running = buildTask({ id: "v0-1", specVersion: 0, createdAtMs: 0 });
  const overtaken = old(1, inState(TaskState.STARTING));

  it("a superseding start-first update keeps the ready task, and creates none before the superseded task has stopped", () => {
    const first = planFor({ tasks: [running, overtaken, young(2), young(3)], update });
    expect(first.actions.map(lineFor)).toEqual(["stop task v1-1 (shop_web.1): another task fills its slot"]);
    const stopping = { ...overtaken, desiredState: DesiredState.SHUTDOWN };
    expect(planFor({ tasks: [running, stopping, young(2), young(3)], update }).actions).toEqual([]);
    const gone = old(1, ENDED);
    expect(made(planFor({ tasks: [running, gone, young(2), young(3)], update }))).toEqual([1]);
  });
});

describe("draining a node", () => {
  const tasks = [young(1), young(2), young(3)];

  it("stops its tasks, and creates their replacements on other nodes once they have stopped", () => {
    expect(planFor({ tasks, drained: true }).actions.map(lineFor)).toEqual([
      "stop task v2-1 (shop_web.1): its node is drained",
    ]);
    const plan = planFor({ tasks: [young(1, ENDED), young(2), young(3)], drained: true });
    expect(linesOf(plan)).toEqual(["create task new1 (shop_web.1) on node n2"]);
  });

  it("draining start-first has the replacement ready before the old task stops", () => {
    const update = { order: START_FIRST };
    expect(planFor({ tasks, update, drained: true }).actions.map(lineFor)).toEqual([
      "create task new1 (shop_web.1) on node n2",
    ]);
    const successor = buildTask({ id: "next", slot: 1, nodeId: "n2", specVersion: 2, createdAtMs: 9 });
    expect(stopped(planFor({ tasks: [...tasks, successor], update, drained: true }))).toEqual(["v2-1"]);
  });
});
