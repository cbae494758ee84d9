import { DesiredState, TaskState } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { buildTask } from "../testing/records.js";
import { nodesToAvoid } from "./avoidance.js";

const NOW = 1_000_000;
const MINUTE = 60_000;

const failures = (count: number, over: Parameters<typeof buildTask>[0] = {}) =>
  Array.from({ length: count }, (_, index) =>
    buildTask({ id: `t${index}`, status: { state: TaskState.FAILED, sinceMs: NOW - MINUTE }, ...over }),
  );
const avoided = (tasks: Parameters<typeof nodesToAvoid>[0]) => [
  ...nodesToAvoid(tasks, { isCurrent: (task) => task.specVersion === 1, nowMs: NOW }),
];

describe("nodesToAvoid", () => {
  it("avoids a node after five recent failures", () => {
    expect(avoided(failures(4))).toEqual([]);
    expect(avoided(failures(5))).toEqual([["n1", 5]]);
  });

  it("avoids a node at once after a rejection", () => {
    expect(avoided(failures(1, { status: { state: TaskState.REJECTED, sinceMs: NOW } }))).toEqual([
      ["n1", 1],
    ]);
  });

  it("ignores failures older than five minutes and those of outdated tasks", () => {
    const old = { state: TaskState.FAILED, sinceMs: NOW - 5 * MINUTE };
    expect(avoided(failures(5, { status: old }))).toEqual([]);
    expect(avoided(failures(5, { specVersion: 0 }))).toEqual([]);
  });

  it("ignores tasks that ended with their Docker daemon or were stopped outside berth, rejected ones too", () => {
    const status = { state: TaskState.FAILED, sinceMs: NOW - MINUTE, stoppedExternally: true };
    expect(avoided(failures(9, { status }))).toEqual([]);
    expect(avoided(failures(1, { status: { ...status, state: TaskState.REJECTED } }))).toEqual([]);
  });

  it("ignores tasks that berth has stopped", () => {
    expect(avoided(failures(5, { desiredState: DesiredState.SHUTDOWN }))).toEqual([]);
  });
});
