import {
  Availability,
  DesiredState,
  Health,
  NodeState,
  Rollout,
  Rollout_State,
  type Task,
  TaskState,
  TaskStatus,
} from "@berth/proto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { buildNode, buildService, buildSpec, buildTask } from "../testing/records.js";
import { clusterEvent } from "./event.js";
import { pastEvents } from "./event-history.js";
import { nodeEvents } from "./node-events.js";
import { serviceEvents } from "./service-events.js";
import { taskEvents } from "./task-events.js";

const nodeOf = (nodeId: string) =>
  nodeId === "" ? undefined : buildNode({ id: nodeId, description: { hostname: `host-${nodeId}` } });

function eventTexts(...tasks: readonly Task[]): readonly string[] {
  return tasks.flatMap((after, index) =>
    taskEvents({ before: tasks[index - 1], after }, { timeMs: 1, nodeOf }).map(({ reason, message }) =>
      `${reason} ${message}`.trim(),
    ),
  );
}

const inState = (state: TaskState, more: Partial<TaskStatus> = {}, nodeId = "n1"): Task =>
  buildTask({ nodeId, status: TaskStatus.fromPartial({ state, ...more }) });

describe("taskEvents", () => {
  test("returns the events of a task's life in order", () => {
    expect(
      eventTexts(
        inState(TaskState.NEW, { message: "1 node lacks 1 GiB memory" }, ""),
        inState(TaskState.NEW, { message: "1 node lacks 1 GiB memory" }, ""),
        inState(TaskState.NEW, { message: "waiting for db: healthy" }, ""),
        inState(TaskState.ASSIGNED),
        inState(TaskState.PREPARING, { message: "pulls its image" }),
        inState(TaskState.STARTING),
        inState(TaskState.RUNNING, { health: Health.HEALTHY }),
        inState(TaskState.RUNNING, { health: Health.UNHEALTHY, message: "unhealthy: no" }),
        inState(TaskState.FAILED, { message: "exit code 3" }),
      ),
    ).toEqual([
      "TASK_UNPLACEABLE 1 node lacks 1 GiB memory",
      "TASK_WAITING waiting for db: healthy",
      "TASK_PLACED on host-n1",
      "TASK_STARTED",
      "TASK_HEALTHY",
      "TASK_UNHEALTHY unhealthy: no",
      "TASK_FAILED exit code 3",
    ]);
  });

  test("reports a stop when it is requested and when it is done", () => {
    const running = inState(TaskState.RUNNING);
    const stopping = { ...running, desiredState: DesiredState.SHUTDOWN };
    expect(
      eventTexts(running, stopping, { ...inState(TaskState.SHUTDOWN), desiredState: DesiredState.SHUTDOWN }),
    ).toEqual(["TASK_PLACED on host-n1", "TASK_STARTED", "TASK_STOPPING", "TASK_STOPPED"]);
  });

  test("reports each start and each end once, whatever states are skipped (property)", () => {
    const states = fc.uniqueArray(fc.integer({ min: TaskState.ASSIGNED, max: TaskState.LOST }), {
      minLength: 1,
    });
    fc.assert(
      fc.property(states, (reported) => {
        const ended = reported.filter((state) => state >= TaskState.COMPLETE).slice(0, 1);
        const alive = reported.filter((state) => state < TaskState.COMPLETE).sort();
        const events = eventTexts(...[...alive, ...ended].map((state) => inState(state as TaskState)));
        const count = (prefix: RegExp): number => events.filter((event) => prefix.test(event)).length;
        const ran = alive.some((state) => state >= TaskState.STARTING);
        expect(count(/^TASK_(COMPLETED|FAILED|STOPPED|REJECTED|LOST)/)).toBe(ended.length);
        expect(count(/^TASK_STARTED/)).toBe(Number(ran));
      }),
    );
  });
});

test("nodeEvents reports joins, losses, drains and problems", () => {
  const ready = buildNode({ id: "n1", state: NodeState.READY });
  const reasons = (before: typeof ready | undefined, after: typeof ready | undefined): readonly string[] =>
    nodeEvents({ before, after }, 1).map(
      (event) =>
        `${event.reason}${clusterEvent(event, { epoch: 1, sequence: 1, revision: 0n }).isWarning ? "!" : ""}`,
    );
  expect(reasons(undefined, ready)).toEqual(["NODE_JOINED", "NODE_READY"]);
  expect(reasons(ready, { ...ready, state: NodeState.DOWN })).toEqual(["NODE_DOWN!"]);
  expect(reasons(ready, { ...ready, agentUnreachable: true })).toEqual(["NODE_AGENT_AWAY!"]);
  expect(reasons(ready, { ...ready, availability: Availability.DRAIN })).toEqual(["NODE_AVAILABILITY"]);
  const troubled = buildNode({ id: "n1", state: NodeState.READY, description: { problems: ["no Docker"] } });
  expect(reasons(ready, troubled)).toEqual(["NODE_PROBLEM!"]);
  expect(reasons(troubled, troubled)).toEqual([]);
  expect(reasons(ready, undefined)).toEqual(["NODE_REMOVED"]);
});

describe("serviceEvents", () => {
  const eventTexts = (before = buildService(), after = buildService()): readonly string[] =>
    serviceEvents({ before, after }, 1).map(({ reason, message }) => `${reason} ${message}`.trim());
  const replicas = (count: number) =>
    buildSpec({ mode: { $case: "replicated", value: { replicas: count } } });
  const rollout = (state: Rollout_State, message = "") =>
    Rollout.fromPartial({ state, message, fromVersion: 1, toVersion: 2, startedAtMs: 5 });

  test("distinguishes a change of scale from a change of the template", () => {
    expect(eventTexts(buildService(), buildService({ version: 2, spec: replicas(3) }))).toEqual([
      "SCALED 1 → 3 replicas",
    ]);
    expect(eventTexts(buildService(), buildService({ version: 2, templateVersion: 2 }))).toEqual([
      "SERVICE_UPDATED version 2",
    ]);
  });

  test("reports each step of a rollout once", () => {
    const at = (state: Rollout_State, message?: string) => buildService({ rollout: rollout(state, message) });
    expect(eventTexts(buildService(), at(Rollout_State.UPDATING))).toEqual(["ROLLOUT_STARTED version 1 → 2"]);
    expect(eventTexts(at(Rollout_State.UPDATING), at(Rollout_State.UPDATING))).toEqual([]);
    expect(eventTexts(at(Rollout_State.UPDATING), at(Rollout_State.ROLLING_BACK, "2 of 3 failed"))).toEqual([
      "ROLLBACK_STARTED 2 of 3 failed",
    ]);
    expect(eventTexts(at(Rollout_State.ROLLING_BACK), at(Rollout_State.ROLLBACK_COMPLETED))).toEqual([
      "ROLLED_BACK version 1 → 2",
    ]);
  });
});

test("pastEvents returns the newest events in order of time (property)", () => {
  const times = fc.array(fc.integer({ min: 1, max: 1_000 }), { maxLength: 50 });
  fc.assert(
    fc.property(times, fc.integer({ min: 0, max: 20 }), (sinceMs, limit) => {
      const tasks = sinceMs.map((since, index) =>
        buildTask({ id: `t${index}`, status: { state: TaskState.RUNNING, sinceMs: since } }),
      );
      const events = pastEvents({ services: [], nodes: [], tasks, nodeOf }, limit);
      const expected = limit === 0 ? [] : [...sinceMs].sort((a, b) => a - b).slice(-limit);
      expect(events.map(({ timeMs }) => timeMs)).toEqual(expected);
    }),
  );
});
