import { DesiredState, RestartPolicy, RestartPolicy_Condition, type Task, TaskState } from "@berth/proto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { buildTask } from "../testing/records.js";
import { decideRestart, MAX_BACKOFF_MS, type RestartDecision, restartDelayMs } from "./restart.js";

const NOW = 1_000_000;
const { ANY, ON_FAILURE, NONE } = RestartPolicy_Condition;

const ended = (state: TaskState, over: Parameters<typeof buildTask>[0] = {}): Task =>
  buildTask({ status: { state, sinceMs: NOW }, ...over });

function decide(task: Task | undefined, policy: Partial<RestartPolicy> = {}): RestartDecision {
  return decideRestart({
    ended: task === undefined ? [] : [task],
    policy: RestartPolicy.fromPartial(policy),
    isCurrent: ({ specVersion }) => specVersion >= 1,
    nowMs: NOW,
  });
}

describe("restartDelayMs", () => {
  it("restartDelayMs is 0 for the first restart, then doubles from a second to a minute, with a jitter of a quarter", () => {
    expect(restartDelayMs(1, undefined, "t")).toBe(0);
    for (const [restarts, seconds] of [
      [2, 1],
      [3, 2],
      [4, 4],
      [7, 32],
    ] as const) {
      const delayMs = restartDelayMs(restarts, undefined, "t");
      expect(delayMs).toBeGreaterThanOrEqual(seconds * 750);
      expect(delayMs).toBeLessThanOrEqual(seconds * 1_250);
    }
    expect(restartDelayMs(12, undefined, "t")).toBe(MAX_BACKOFF_MS);
    expect(restartDelayMs(4_000_000_000, undefined, "t")).toBe(MAX_BACKOFF_MS);
  });

  it("grows with the number of failures up to its limit, whatever the policy and the jitter", () => {
    const delay = fc.option(fc.integer({ min: 0, max: 300_000 }), { nil: undefined });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        delay,
        fc.string(),
        fc.string(),
        (restarts, policy, a, b) => {
          const limit = Math.max(MAX_BACKOFF_MS, policy ?? 0);
          const shorter = restartDelayMs(restarts, policy, a);
          const longer = restartDelayMs(restarts + 1, policy, b);
          expect(shorter).toBeLessThanOrEqual(limit);
          if (shorter < limit * 0.75) expect(longer).toBeGreaterThan(shorter);
        },
      ),
    );
  });

  it("starts at the policy's delay when there is one", () => {
    expect(restartDelayMs(1, 5_000, "t")).toBeGreaterThanOrEqual(3_750);
    expect(restartDelayMs(2, 5_000, "t")).toBeGreaterThanOrEqual(7_500);
  });
});

describe("decideRestart", () => {
  it("fills a slot that never had a task", () => {
    expect(decide(undefined)).toEqual({ kind: "now", restarts: 0 });
  });

  it("restarts at once the first time and increments the count", () => {
    expect(decide(ended(TaskState.FAILED))).toEqual({ kind: "now", restarts: 1 });
  });

  it("waits before the second restart, always equally long", () => {
    const task = ended(TaskState.FAILED, { restarts: 1 });
    const decision = decide(task);
    expect(decision).toMatchObject({ kind: "at", restarts: 2 });
    expect(decide(task)).toEqual(decision);
  });

  it.each([
    [ANY, TaskState.COMPLETE, "now"],
    [ANY, TaskState.REJECTED, "now"],
    [ON_FAILURE, TaskState.COMPLETE, "completed"],
    [ON_FAILURE, TaskState.FAILED, "now"],
    [NONE, TaskState.COMPLETE, "completed"],
    [NONE, TaskState.FAILED, "exhausted"],
  ])("follows condition %i for a task that ended in state %i: %s", (condition, state, kind) => {
    expect(decide(ended(state), { condition }).kind).toBe(kind);
  });

  it("replaces a lost or stopped task at once, without counting it", () => {
    const policy = { condition: NONE };
    expect(decide(ended(TaskState.LOST, { restarts: 3 }), policy)).toEqual({ kind: "now", restarts: 3 });
    const stopped = ended(TaskState.FAILED, { desiredState: DesiredState.SHUTDOWN });
    expect(decide(stopped, policy)).toEqual({ kind: "now", restarts: 0 });
  });

  it("does not restart a one-shot that completed while it was being stopped", () => {
    const task = ended(TaskState.COMPLETE, { desiredState: DesiredState.SHUTDOWN });
    expect(decide(task, { condition: NONE })).toEqual({ kind: "completed" });
  });

  it("starts a new version with a restart count of 0", () => {
    const task = ended(TaskState.FAILED, { specVersion: 0, restarts: 9 });
    expect(decide(task, { condition: NONE })).toEqual({ kind: "now", restarts: 0 });
  });

  it("gives up after the attempts that the policy allows", () => {
    expect(decide(ended(TaskState.FAILED, { restarts: 2 }), { maxAttempts: 3 }).kind).toBe("at");
    expect(decide(ended(TaskState.FAILED, { restarts: 3 }), { maxAttempts: 3 }).kind).toBe("exhausted");
  });

  it("does not count attempts before the window", () => {
    const at = (ageMs: number, restarts: number): Task =>
      buildTask({ restarts, status: { state: TaskState.FAILED, sinceMs: NOW - ageMs } });
    const decideIn = (windowMs: number): string =>
      decideRestart({
        ended: [at(0, 3), at(40_000, 2), at(80_000, 1), at(120_000, 0)],
        policy: RestartPolicy.fromPartial({ maxAttempts: 3, windowMs }),
        isCurrent: ({ specVersion }) => specVersion >= 1,
        nowMs: NOW,
      }).kind;
    expect(decideIn(50_000)).toBe("at");
    expect(decideIn(200_000)).toBe("exhausted");
  });
});
