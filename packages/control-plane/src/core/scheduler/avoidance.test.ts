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
  ...nodesToAvoid(tasks, { isCurrent: (task) => task.specVersion === 1, now: NOW }),
];

describe("nodesToAvoid()", () => {
  it("names a node after five recent failures there, not after four", () => {
    expect(avoided(failures(4))).toEqual([]);
    expect(avoided(failures(5))).toEqual([["n1", 5]]);
  });

  it("names a node that rejected a task at once", () => {
    expect(avoided(failures(1, { status: { state: TaskState.REJECTED, sinceMs: NOW } }))).toEqual([
      ["n1", 1],
    ]);
  });

  it("forgets failures after five minutes, and those of what tasks ran before", () => {
    const old = { state: TaskState.FAILED, sinceMs: NOW - 5 * MINUTE };
    expect(avoided(failures(5, { status: old }))).toEqual([]);
    expect(avoided(failures(5, { specVersion: 0 }))).toEqual([]);
  });

  it("does not blame a node for what went down with its Docker daemon, or was stopped by a person", () => {
    const status = { state: TaskState.FAILED, sinceMs: NOW - MINUTE, stoppedExternally: true };
    expect(avoided(failures(9, { status }))).toEqual([]);
  });

  it("does not blame a node for tasks that were told to stop", () => {
    expect(avoided(failures(5, { desiredState: DesiredState.SHUTDOWN }))).toEqual([]);
  });
});
