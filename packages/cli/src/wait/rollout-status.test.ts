import { Rollout_State as State, type Task, TaskState, type WatchServicesResponse } from "@berth/proto";
import { describe, expect, test } from "vitest";
import { webService, webTask } from "../testing/fake-control.js";
import { evaluateWait } from "./evaluate-wait.js";
import { explainUnconverged } from "./explain.js";
import { type AwaitedService, applyUpdate, initialProgress, type Progress } from "./progress.js";
import { plainLine } from "./render-progress.js";

const SERVICE = { id: "svcwebxxxxxxxxxxxx", name: "shop_web", version: 3 };

interface ServerState {
  readonly service?: Record<string, unknown>;
  readonly summary?: Parameters<typeof webService>[0];
  readonly tasks?: readonly Task[];
}

function messageOf({ service = {}, summary = {}, tasks = [webTask()] }: ServerState): WatchServicesResponse {
  const base = webService().service;
  const whole = webService({ ...summary, service: { ...base, version: 3, ...service } });
  return { services: [{ serviceId: SERVICE.id, removed: false, summary: whole, tasks: [...tasks] }] };
}

function after(messages: readonly ServerState[], awaited: AwaitedService = SERVICE): Progress {
  return messages.reduce(
    (progress, state) => applyUpdate(progress, messageOf(state), 0),
    initialProgress([awaited]),
  );
}

function lineOf(progress: Progress): string {
  return [...progress.services.values()].map(plainLine).join("\n");
}

const unconverged = { running: 1, converged: false, desired: 6 };
const rollout = (state: State, over: Record<string, unknown> = {}) => ({
  rollout: { state, fromVersion: 2, toVersion: 3, updatedSlots: 3, message: "", ...over },
});
const crashed = (id: string) =>
  webTask({ id, specVersion: 3, status: { state: TaskState.FAILED, exitCode: 1, message: "boom" } });

describe("a wait with a rollout", () => {
  test("continues while the rollout is in progress, even if all tasks run", () => {
    const progress = after([{ service: rollout(State.UPDATING), summary: { desired: 6, running: 6 } }]);
    expect(evaluateWait(progress, 99_000).kind).toBe("wait");
    expect(lineOf(progress)).toBe("shop_web: updating 3/6");
  });

  test("lets the rollout decide when too many tasks have failed", () => {
    const failing = ["a", "b", "c"].map((id) => ({
      service: rollout(State.UPDATING),
      summary: unconverged,
      tasks: [crashed(id)],
    }));
    expect(evaluateWait(after(failing), 99_000).kind).toBe("wait");
    const paused = { service: rollout(State.PAUSED, { message: "3 of 6 failed" }), summary: unconverged };
    const progress = after([...failing, paused]);
    expect(evaluateWait(progress, 0)).toEqual({ kind: "failed" });
    expect(explainUnconverged(progress)).toEqual([
      "  shop_web: paused: 3 of 6 failed",
      "    shop_web.1: failed: exit code 1: boom (failed 3 times)",
    ]);
  });

  test("shows why the update is rolled back, and fails when that is complete", () => {
    const back = { fromVersion: 3, toVersion: 4, message: "2 of 6 failed" };
    const rolling = after([{ service: rollout(State.ROLLING_BACK, back), summary: unconverged }]);
    expect(evaluateWait(rolling, 99_000).kind).toBe("wait");
    expect(lineOf(rolling)).toBe("shop_web: 1/6 rolling back: 2 of 6 failed");
    const done = after([{ service: { ...rollout(State.ROLLBACK_COMPLETED, back), version: 4 } }]);
    expect(evaluateWait(done, 0)).toEqual({ kind: "failed" });
    expect(explainUnconverged(done)[0]).toBe("  shop_web: rolled back: 2 of 6 failed");
  });

  test("collects the reasons of other services before it fails", () => {
    const other = { id: "other", name: "shop_db" };
    const start = initialProgress([SERVICE, other]);
    const paused = applyUpdate(
      start,
      messageOf({ service: rollout(State.PAUSED), summary: unconverged }),
      1_000,
    );
    expect(evaluateWait(paused, 1_000)).toEqual({ kind: "wait", untilMs: 4_000 });
    expect(evaluateWait(paused, 4_000)).toEqual({ kind: "failed" });
  });

  test("treats a requested rollback as the awaited update", () => {
    const asked = { fromVersion: 2, toVersion: 3 };
    expect(lineOf(after([{ service: rollout(State.ROLLING_BACK, asked), summary: unconverged }]))).toBe(
      "shop_web: updating 3/6",
    );
    expect(evaluateWait(after([{ service: rollout(State.ROLLBACK_COMPLETED, asked) }]), 500)).toEqual({
      kind: "converged",
    });
  });

  test("ignores the state before the awaited version", () => {
    expect(evaluateWait(after([{ service: { version: 2 } }]), 99_000).kind).toBe("wait");
    const former = { fromVersion: 1, toVersion: 2, message: "old" };
    expect(evaluateWait(after([{ service: rollout(State.PAUSED, former) }]), 500)).toEqual({
      kind: "converged",
    });
  });

  test("counts tasks of an older version as current after a rollback to it", () => {
    const templates = [
      { version: 1, templateVersion: 1 },
      { version: 2, templateVersion: 2 },
      { version: 3, templateVersion: 1 },
    ];
    const service = { templateVersion: 1, templates };
    const starting = (id: string, specVersion: number) =>
      webTask({ id, specVersion, slot: specVersion, status: { state: TaskState.STARTING } });
    const tasks = [starting("a", 1), starting("b", 2), starting("c", 3)];
    expect(lineOf(after([{ service, summary: unconverged, tasks }]))).toBe("shop_web: 1/6 starting 2");
  });
});

describe("a wait without a rollout", () => {
  test("shows the reason of the server for a service without tasks", () => {
    const summary = { ...unconverged, running: 0, reasons: ["waiting for shop_db: healthy"] };
    const progress = after([{ summary, tasks: [] }]);
    expect(lineOf(progress)).toBe("shop_web: 0/6 waiting for shop_db: healthy");
    expect(explainUnconverged(progress)).toEqual([
      "  shop_web: 0 of 6 tasks running, waiting for shop_db: healthy",
    ]);
  });

  const job = (status: Record<string, unknown>): Record<string, unknown> => {
    const { spec } = webService().service ?? {};
    const mode = { $case: "replicatedJob", value: { totalCompletions: 5, maxConcurrent: 2 } };
    return { spec: { ...spec, mode }, job: { iteration: 1, startedAtMs: 1, endedAtMs: 0, ...status } };
  };

  test("counts the completions of a job and converges when all tasks have completed", () => {
    const done = webTask({ status: { state: TaskState.COMPLETE } });
    const running = webTask({ id: "b", slot: 2, status: { state: TaskState.STARTING } });
    const summary = { desired: 2, completed: 3, running: 1, converged: false };
    const progress = after([{ service: job({}), summary, tasks: [done, running] }]);
    expect(lineOf(progress)).toBe("shop_web: 3/5 completed starting 1");
    const over = {
      service: job({ endedAtMs: 2 }),
      summary: { desired: 0, completed: 5, running: 0 },
      tasks: [done],
    };
    expect(lineOf(after([over]))).toBe("shop_web: 5/5 completed");
    expect(evaluateWait(after([over]), 500)).toEqual({ kind: "converged" });
  });

  test("fails when a job has failed", () => {
    const failed = job({ endedAtMs: 2, failed: true, message: "1 of 5 tasks failed" });
    const progress = after([{ service: failed, summary: unconverged, tasks: [crashed("a")] }]);
    expect(evaluateWait(progress, 0)).toEqual({ kind: "failed" });
    expect(explainUnconverged(progress)).toEqual([
      "  shop_web: job failed: 1 of 5 tasks failed",
      "    shop_web.1: failed: exit code 1: boom",
    ]);
  });
});
