import { Task, TaskStatus } from "@berth/proto";
import { expect, test } from "vitest";
import { ClusterState } from "../state/cluster-state.js";
import { latestRecordedMs, steadyTime } from "./steady-time.js";

const MINUTE_MS = 60_000;

/** A host whose clock can be set. */
function host(atMs: number) {
  let monotonicMs = 0;
  let offsetMs = atMs;
  return {
    clock: { nowMs: () => monotonicMs, after: () => () => {} },
    now: () => monotonicMs + offsetMs,
    pass: (ms: number) => {
      monotonicMs += ms;
    },
    set: (ms: number) => {
      offsetMs = ms - monotonicMs;
    },
  };
}

test("time is the host's, also after its clock was put forward", () => {
  const one = host(1_000);
  const time = steadyTime(one, 0);
  one.pass(500);
  expect(time()).toBe(1_500);
  one.set(90_000);
  expect(time()).toBe(90_000);
});

test("a clock that is put back slows time down until it is as late again", () => {
  const one = host(10 * MINUTE_MS);
  const time = steadyTime(one, 0);
  one.set(9 * MINUTE_MS);
  expect(time()).toBe(10 * MINUTE_MS);
  one.pass(1_000);
  expect(time()).toBe(10 * MINUTE_MS + 800);
  one.pass(10 * MINUTE_MS);
  expect(time()).toBe(one.now());
});

test("a leader goes on where the records end, unless they are hours ahead", () => {
  const one = host(MINUTE_MS);
  expect(steadyTime(one, 6 * MINUTE_MS)()).toBe(6 * MINUTE_MS);
  expect(steadyTime(one, 600 * MINUTE_MS)()).toBe(MINUTE_MS);
});

test("the latest moment is found in whichever record has it", () => {
  const state = new ClusterState();
  expect(latestRecordedMs(state)).toBe(0);
  const task = Task.fromPartial({
    id: "t1",
    serviceId: "s1",
    createdAtMs: 5,
    status: TaskStatus.fromPartial({ sinceMs: 7 }),
  });
  state.apply([{ change: { kind: "put-task", task }, revision: 1n }]);
  expect(latestRecordedMs(state)).toBe(7);
});
