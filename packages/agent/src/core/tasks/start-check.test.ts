import { TaskState } from "@berth/proto";
import { describe, expect, test } from "vitest";
import { reconcile } from "./reconcile.js";
import {
  afterStartCheck,
  type CheckResult,
  DEFAULT_START_INTERVAL_MS,
  FIRST_INTERVAL_MS,
  FREQUENT_CHECKS_MS,
  healthOf,
  SLOW_INTERVAL_MS,
  type StartCheck,
} from "./start-check.js";
import { statusOf } from "./status.js";
import { BLANK_MEMORY, type TaskMemory } from "./task-memory.js";
import { containerWith, viewWith } from "./testing.js";

const NOW = 1_000_000;
const healthcheck = { command: ["/bin/check"], timeoutMs: 1_000 };
const starting = containerWith({ state: "running", health: "starting", healthcheck, processId: 7 });

function checked(result: CheckResult, over: { intervalMs?: number; atMs?: number } = {}): TaskMemory {
  const { intervalMs = 0, atMs = NOW } = over;
  const check = { containerId: starting.id, processId: 7, intervalMs, result };
  return { ...BLANK_MEMORY, startCheck: afterStartCheck(undefined, check, atMs) };
}

describe("health checks of a container that starts", () => {
  test("the agent checks at once, and again after the interval while the check fails", () => {
    const decide = (memory: TaskMemory, nowMs: number) =>
      reconcile(viewWith({ containers: [starting], memory }), nowMs);
    expect(decide(BLANK_MEMORY, NOW).step).toEqual({
      kind: "check-health",
      containerId: starting.id,
      processId: 7,
      intervalMs: 0,
      ...healthcheck,
    });
    const dueMs = NOW + FIRST_INTERVAL_MS;
    expect(decide(checked("failed"), dueMs - 1)).toMatchObject({ requeueAtMs: dueMs });
    expect(decide(checked("failed"), dueMs).step?.kind).toBe("check-health");
  });

  test("the interval doubles up to its default while the checks fail", () => {
    const check = { containerId: starting.id, processId: 7, intervalMs: 0, result: "failed" } as const;
    let state: StartCheck | undefined;
    const delays = Array.from({ length: 5 }, () => {
      state = afterStartCheck(state, check, NOW);
      return state.nextMs - NOW;
    });
    expect(delays).toEqual([100, 200, 400, DEFAULT_START_INTERVAL_MS, DEFAULT_START_INTERVAL_MS]);
  });

  test("the interval of the spec replaces the default, and checks become rare after a while", () => {
    expect(checked("failed", { intervalMs: 50 }).startCheck?.nextMs).toBe(NOW + 50);
    const before = checked("failed", { atMs: NOW - FREQUENT_CHECKS_MS }).startCheck;
    const check = { containerId: starting.id, processId: 7, intervalMs: 0, result: "failed" } as const;
    expect(afterStartCheck(before, check, NOW).nextMs).toBe(NOW + SLOW_INTERVAL_MS);
  });

  test("a check that passed makes the task healthy until Docker has a result of its own", () => {
    const memory = checked("passed");
    const status = statusOf(viewWith({ containers: [starting], memory }), starting);
    expect(status).toMatchObject({ state: TaskState.RUNNING });
    expect(healthOf(memory, starting)).toBe("healthy");
    expect(healthOf(memory, { ...starting, health: "unhealthy" })).toBe("unhealthy");
    expect(healthOf(memory, { ...starting, processId: 8 })).toBe("starting");
    expect(reconcile(viewWith({ containers: [starting], memory }), NOW + 60_000).step).toBeUndefined();
  });

  test("a check that hangs is not repeated, since only Docker can end it", () => {
    const memory = checked("timeout");
    expect(healthOf(memory, starting)).toBe("starting");
    expect(reconcile(viewWith({ containers: [starting], memory }), NOW + 60_000).step).toBeUndefined();
  });

  test("containers without a health check, and those that Docker has judged, are not checked", () => {
    for (const container of [
      containerWith({ state: "running", health: "none" }),
      { ...starting, health: "healthy" as const },
      { ...starting, state: "paused" as const },
      { ...starting, healthcheck: undefined },
    ]) {
      expect(reconcile(viewWith({ containers: [container] }), NOW).step?.kind).not.toBe("check-health");
    }
  });
});
