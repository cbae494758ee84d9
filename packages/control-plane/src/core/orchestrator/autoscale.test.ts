import { AutoscaleSpec, type AutoscaleStatus } from "@berth/proto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { decideScale, type ScaleInput, type Usage } from "./autoscale.js";

const MINUTE_MS = 60_000;
const NOW = 100 * MINUTE_MS;
const idle: Usage = { cpuPercents: [], connections: undefined, areConnectionsComplete: true, isIdle: false };

function scale(over: Partial<Omit<ScaleInput, "spec">> & { readonly spec?: Partial<AutoscaleSpec> }): number {
  const spec = AutoscaleSpec.fromPartial({
    min: 1,
    max: 10,
    targetCpuPercent: 50,
    scaleDownWindowMs: 0,
    ...over.spec,
  });
  const input = { current: 4, usage: idle, history: [], nowMs: NOW, ...over, spec };
  return decideScale(input).status?.replicas ?? input.current;
}

const cpu = (...cpuPercents: number[]): Usage => ({ ...idle, cpuPercents });

test("decideScale follows the average CPU usage, and ignores small deviations", () => {
  expect(scale({ usage: cpu(75, 75, 75, 75) })).toBe(6);
  expect(scale({ usage: cpu(25, 25, 25, 25) })).toBe(2);
  expect(scale({ usage: cpu(54, 54, 54, 54) })).toBe(4);
  expect(scale({ usage: cpu(46, 46, 46, 46) })).toBe(4);
});

test("decideScale follows the connections per replica, and the metric that asks for more", () => {
  const spec = { targetCpuPercent: 0, targetConnections: 10 };
  expect(scale({ spec, usage: { ...idle, connections: 80 } })).toBe(8);
  expect(scale({ spec, usage: { ...idle, connections: 10 } })).toBe(1);
  const both = { targetCpuPercent: 50, targetConnections: 10 };
  expect(scale({ spec: both, usage: { ...cpu(75, 75, 75, 75), connections: 10 } })).toBe(6);
});

test("decideScale counts unmeasured replicas as idle to scale up, and as on target to scale down", () => {
  // Three at double the target: 8 if the fourth were as busy, 6 as it counts as idle.
  expect(scale({ usage: cpu(100, 100, 100) })).toBe(6);
  // The two that were not measured count as being on target.
  expect(scale({ usage: cpu(0, 0) })).toBe(2);
  // One above its target and three unknown says nothing.
  expect(scale({ usage: cpu(60) })).toBe(4);
  expect(scale({ usage: idle })).toBe(4);
});

test("decideScale removes no replica while a node has not reported its connections", () => {
  const spec = { targetCpuPercent: 0, targetConnections: 10 };
  const usage = { ...idle, connections: 0, areConnectionsComplete: false };
  expect(scale({ spec, usage })).toBe(4);
  expect(scale({ spec, usage: { ...usage, connections: 80 } })).toBe(8);
});

test("decideScale stays within its bounds, and scales up in steps", () => {
  expect(scale({ usage: cpu(0, 0, 0, 0), spec: { min: 3 } })).toBe(3);
  expect(scale({ usage: cpu(500, 500, 500, 500) })).toBe(8);
  expect(scale({ usage: cpu(500, 500, 500, 500), spec: { max: 5 } })).toBe(5);
  expect(scale({ current: 1, usage: cpu(900) })).toBe(5);
  expect(scale({ current: 12, usage: cpu(...Array<number>(12).fill(50)) })).toBe(10);
});

test("decideScale scales down to the largest recommendation of its window, and up at once", () => {
  const spec = { scaleDownWindowMs: 5 * MINUTE_MS };
  const usage = cpu(10, 10, 10, 10);
  expect(scale({ spec, usage, history: [{ atMs: NOW - 4 * MINUTE_MS, replicas: 3 }] })).toBe(3);
  expect(scale({ spec, usage, history: [{ atMs: NOW - 6 * MINUTE_MS, replicas: 3 }] })).toBe(1);
  expect(scale({ spec, usage: cpu(75, 75, 75, 75), history: [{ atMs: NOW - 1, replicas: 4 }] })).toBe(6);
  const slow = { scaleUpWindowMs: MINUTE_MS };
  expect(scale({ spec: slow, usage: cpu(75, 75, 75, 75), history: [{ atMs: NOW - 1, replicas: 5 }] })).toBe(
    5,
  );
});

test("decideScale explains itself, and drops recommendations older than both windows", () => {
  const spec = AutoscaleSpec.fromPartial({ min: 1, max: 10, targetCpuPercent: 50 });
  const history = [
    { atMs: NOW - 6 * MINUTE_MS, replicas: 9 },
    { atMs: NOW - MINUTE_MS, replicas: 3 },
  ];
  const decision = decideScale({ spec, current: 4, usage: cpu(75, 75, 75, 75), history, nowMs: NOW });
  expect(decision.status).toEqual({
    replicas: 6,
    changedAtMs: NOW,
    message: "from 4 to 6: 75 % CPU per replica, the target is 50 %",
  } satisfies AutoscaleStatus);
  expect(decision.history.map(({ replicas }) => replicas)).toEqual([3, 6]);
});

test("the number of replicas settles within its bounds under a steady load", () => {
  const load = fc.record({
    total: fc.integer({ min: 0, max: 2_000 }),
    target: fc.integer({ min: 10, max: 100 }),
    start: fc.integer({ min: 1, max: 20 }),
    min: fc.integer({ min: 1, max: 5 }),
    more: fc.integer({ min: 0, max: 15 }),
  });
  fc.assert(
    fc.property(load, ({ total, target, start, min, more }) => {
      const spec = { min, max: min + more, targetCpuPercent: target, scaleDownWindowMs: 0 };
      let current = start;
      for (let round = 0; round < 20; round += 1) {
        current = scale({ spec, current, usage: cpu(...Array<number>(current).fill(total / current)) });
      }
      const settled = scale({ spec, current, usage: cpu(...Array<number>(current).fill(total / current)) });
      expect(settled).toBe(current);
      expect(current).toBeGreaterThanOrEqual(min);
      expect(current).toBeLessThanOrEqual(min + more);
    }),
  );
});

test("decideScale scales a service with the minimum 0 to zero after a whole window without connections", () => {
  const spec = { min: 0, scaleDownWindowMs: MINUTE_MS };
  const unused: Usage = { ...cpu(1), connections: 0, isIdle: true };
  const used = { atMs: NOW - MINUTE_MS + 1, replicas: 1 };
  const unusedBefore = { atMs: NOW - MINUTE_MS + 1, replicas: 0 };
  expect(scale({ spec, current: 1, usage: unused, history: [used] })).toBe(1);
  expect(scale({ spec, current: 1, usage: unused, history: [unusedBefore] })).toBe(0);
  expect(scale({ spec: { ...spec, min: 1 }, current: 1, usage: unused, history: [unusedBefore] })).toBe(1);
});

test("decideScale keeps a service at zero until a client connects", () => {
  const spec = { min: 0, targetCpuPercent: 0, targetConnections: 0 };
  expect(scale({ spec, current: 0, usage: { ...idle, isIdle: true } })).toBe(0);
  expect(scale({ spec, current: 0, usage: { ...idle, connections: 0, isIdle: false } })).toBe(1);
  expect(scale({ spec, current: 0, usage: { ...idle, areConnectionsComplete: false } })).toBe(0);
});
