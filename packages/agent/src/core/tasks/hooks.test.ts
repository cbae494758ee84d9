import { DesiredState, Hook, TaskState, type TaskStatus } from "@berth/proto";
import { describe, expect, test } from "vitest";
import type { ObservedContainer } from "../docker/observed-container.js";
import { type HookResult, MIN_STOP_GRACE_MS, POST_START_TIMEOUT_MS } from "./hooks.js";
import { reconcile } from "./reconcile.js";
import { BLANK_MEMORY, type TaskMemory } from "./task-memory.js";
import type { TaskView } from "./task-view.js";
import { containerWith, specWith, taskWith, viewWith } from "./testing.js";

const NOW_MS = 100_000;
const hook = (command: string): Hook =>
  Hook.fromPartial({ command: [command], env: ["SLOT={{.Task.Slot}}"] });
const starting = { state: TaskState.STARTING } as TaskStatus;
const running = { state: TaskState.RUNNING } as TaskStatus;

/** Returns the view of a task with hooks whose container runs. */
function viewOf(
  over: {
    readonly container?: Partial<ObservedContainer>;
    readonly memory?: Partial<TaskMemory>;
    readonly desiredState?: DesiredState;
    readonly status?: TaskStatus;
  } = {},
): TaskView {
  const { container, memory, desiredState = DesiredState.RUNNING, status = starting } = over;
  const spec = specWith({ container: { postStart: [hook("warm-up")], preStop: [hook("leave")] } });
  return viewWith({
    assignment: { task: taskWith({ desiredState }), spec, receivedAtMs: 1_000 },
    containers: [containerWith(container)],
    memory: { ...BLANK_MEMORY, containerId: "c1", ...memory },
    status,
  });
}

function result(over: Partial<HookResult> = {}): HookResult {
  return { phase: "post-start", containerId: "c1", processId: 1_000, failure: "", durationMs: 5, ...over };
}

const afterPostStart = (over: Partial<HookResult> = {}): Partial<TaskMemory> => ({
  hooks: { postStart: result(over), preStop: undefined },
});
const afterPreStop = (over: Partial<HookResult> = {}): Partial<TaskMemory> => ({
  hooks: { postStart: result(), preStop: result({ phase: "pre-stop", ...over }) },
});

describe("post_start hooks", () => {
  test("post_start hooks run once the container runs, and the task is not running before they have succeeded", () => {
    const { step, status } = reconcile(viewOf(), NOW_MS);
    expect(step).toEqual({
      kind: "post-start",
      containerId: "c1",
      processId: 1_000,
      hooks: [{ ...hook("warm-up"), env: ["SLOT=2"] }],
      timeoutMs: POST_START_TIMEOUT_MS,
    });
    expect(status).toMatchObject({ state: TaskState.STARTING, message: "waiting for its post_start hooks" });
    const done = reconcile(viewOf({ memory: afterPostStart() }), NOW_MS);
    expect(done.step).toBeUndefined();
    expect(done.status).toMatchObject({ state: TaskState.RUNNING, message: "" });
  });

  test("post_start hooks run before the health check", () => {
    const healthcheck = { command: ["true"], timeoutMs: 1_000 };
    const container = { health: "starting", healthcheck } as const;
    expect(reconcile(viewOf({ container }), NOW_MS).step?.kind).toBe("post-start");
    expect(reconcile(viewOf({ container, memory: afterPostStart() }), NOW_MS).step?.kind).toBe(
      "check-health",
    );
  });

  test("post_start hooks run again in a container that was restarted outside berth", () => {
    const restarted = viewOf({ container: { processId: 2_000 }, memory: afterPostStart(), status: running });
    expect(reconcile(restarted, NOW_MS).step).toMatchObject({ kind: "post-start", processId: 2_000 });
  });

  test("post_start hooks do not run again after the agent was restarted, unless the task was still starting", () => {
    expect(reconcile(viewOf({ status: running }), NOW_MS).step).toBeUndefined();
    expect(reconcile(viewOf({ status: starting }), NOW_MS).step?.kind).toBe("post-start");
  });

  test("a failed post_start hook ends the task, after its pre_stop hooks", () => {
    const failure = 'post_start hook "warm-up" ended with exit code 3';
    const failed = viewOf({ memory: afterPostStart({ failure }) });
    const { step, status } = reconcile(failed, NOW_MS);
    expect(step).toMatchObject({ kind: "pre-stop", failure });
    expect(status?.state).toBe(TaskState.STARTING);
    const hooks = { postStart: result({ failure }), preStop: result({ phase: "pre-stop" }) };
    const stopping = reconcile(viewOf({ memory: { hooks, failure } }), NOW_MS);
    expect(stopping.step).toMatchObject({ kind: "stop", failure });
    const ended = viewOf({ container: { state: "exited", processId: 0 }, memory: { hooks, failure } });
    expect(reconcile(ended, NOW_MS).status).toMatchObject({ state: TaskState.FAILED, message: failure });
  });

  test("a task without hooks runs none", () => {
    const view = viewOf();
    const plain = viewWith({
      ...view,
      assignment: { task: taskWith(), spec: specWith(), receivedAtMs: 1_000 },
    });
    expect(reconcile(plain, NOW_MS).step).toBeUndefined();
  });
});

describe("pre_stop hooks", () => {
  const shutdown = { desiredState: DesiredState.SHUTDOWN, status: running };

  test("pre_stop hooks run before the stop signal, within the grace period", () => {
    expect(reconcile(viewOf(shutdown), NOW_MS).step).toEqual({
      kind: "pre-stop",
      containerId: "c1",
      processId: 1_000,
      hooks: [{ ...hook("leave"), env: ["SLOT=2"] }],
      timeoutMs: 10_000,
      failure: "",
    });
  });

  test("pre_stop hooks count toward the grace period, of which a minimum is left for the stop signal", () => {
    const stopAfter = (durationMs: number) =>
      reconcile(viewOf({ ...shutdown, memory: afterPreStop({ durationMs }) }), NOW_MS).step;
    expect(stopAfter(3_000)).toEqual({ kind: "stop", containerId: "c1", graceMs: 7_000, failure: "" });
    expect(stopAfter(10_000)).toMatchObject({ kind: "stop", graceMs: MIN_STOP_GRACE_MS });
  });

  test("a failed pre_stop hook is part of the reason", () => {
    const failure = 'pre_stop hook "leave" did not finish within 10 s';
    const memory = afterPreStop({ failure });
    const ended = viewOf({ ...shutdown, container: { state: "exited", processId: 0 }, memory });
    expect(reconcile(ended, NOW_MS).status).toMatchObject({
      state: TaskState.SHUTDOWN,
      message: `stopped; ${failure}`,
    });
  });

  test("pre_stop hooks do not run in a container that is paused or that was not started", () => {
    const paused = viewOf({ ...shutdown, container: { state: "paused" } });
    expect(reconcile(paused, NOW_MS).step?.kind).toBe("stop");
    const created = viewOf({ ...shutdown, container: { state: "created", processId: 0 } });
    expect(reconcile(created, NOW_MS).step).toBeUndefined();
  });

  test("pre_stop hooks do not run on a fenced node, where the task must stop at once", () => {
    const view = viewOf({ status: running });
    const atMostOne = { ...view, isFenced: true, containers: [containerWith({ atMostOne: true })] };
    expect(reconcile(atMostOne, NOW_MS).step?.kind).toBe("stop");
  });

  test("pre_stop hooks run before an unhealthy container is stopped, and the stop is not called off when it recovers", () => {
    const unhealthySinceMs = NOW_MS - 60_000;
    const sick = viewOf({
      container: { health: "unhealthy" },
      memory: { ...afterPostStart(), unhealthySinceMs },
      status: running,
    });
    const { step } = reconcile(sick, NOW_MS);
    expect(step).toMatchObject({ kind: "pre-stop", failure: expect.stringContaining("unhealthy") });
    const recovered = viewOf({
      container: { health: "healthy" },
      memory: { ...afterPreStop(), failure: "stayed unhealthy for 30 s" },
      status: running,
    });
    expect(reconcile(recovered, NOW_MS).step).toMatchObject({
      kind: "stop",
      failure: "stayed unhealthy for 30 s",
    });
  });
});
