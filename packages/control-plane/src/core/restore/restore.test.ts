import { NodeState, type UnknownTask } from "@berth/proto";
import { expect, test } from "vitest";
import { buildNode } from "../testing/records.js";
import { nextGeneration } from "./generation.js";
import { isComplete, restoreProgress } from "./restore-progress.js";

const DAY_MS = 24 * 60 * 60 * 1_000;

test("a generation exceeds every epoch before it, also after two restores of the same backup", () => {
  const backupMs = Date.UTC(2026, 10, 1);
  const backup = { revision: 5_000_000 };
  const first = nextGeneration(backupMs + DAY_MS, backup.revision);
  // 10,000 writes a second for a day, which is more than etcd can do.
  const lastEpochOfFirst = first + 10_000 * 86_400;
  const second = nextGeneration(backupMs + 2 * DAY_MS, backup.revision);
  expect(second).toBeGreaterThan(lastEpochOfFirst);
  expect(nextGeneration(Date.UTC(2200, 0, 1), first)).toBeLessThan(Number.MAX_SAFE_INTEGER);
});

test("a generation exceeds the epochs in the backup when the clock of the new server is wrong", () => {
  expect(nextGeneration(0, 1_000_000)).toBeGreaterThan(1_000_000);
});

test("a restore waits for nodes that were ready, and for the end of unknown tasks", () => {
  const one = buildNode({ id: "n1", state: NodeState.READY });
  const two = buildNode({ id: "n2", state: NodeState.READY });
  const down = buildNode({ id: "n3", state: NodeState.DOWN });
  const nodes = [one, two, down];
  const task: UnknownTask = { taskId: "t", containerId: "c", containerName: "shop_web.1.t" };
  expect(restoreProgress(nodes, new Map())).toEqual({ missing: [one, two], unknown: [] });
  const partial = restoreProgress(nodes, new Map([["n1", [task]]]));
  expect(partial).toEqual({ missing: [two], unknown: [{ node: one, task }] });
  expect(isComplete(partial)).toBe(false);
  const all = new Map([
    ["n1", []],
    ["n2", []],
  ]);
  expect(isComplete(restoreProgress(nodes, all))).toBe(true);
  // A node that was down at the time of the backup can have containers, too.
  expect(isComplete(restoreProgress(nodes, new Map([...all, ["n3", [task]]])))).toBe(false);
});
