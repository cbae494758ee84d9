import { DesiredState, Health, TaskState, TaskStatus } from "@berth/proto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { buildTask } from "../testing/records.js";
import { applyReport, type TaskReport } from "./task-report.js";

const NOW = 5_000;
const report = (state: TaskState, over: Partial<TaskStatus> = {}): TaskReport => ({
  nodeId: "n1",
  status: TaskStatus.fromPartial({ state, ...over }),
  removed: false,
});
const anyState = fc
  .integer({ min: TaskState.UNSPECIFIED, max: TaskState.LOST })
  .map((state) => TaskStatus.fromJSON({ state }).state);

describe("applyReport", () => {
  it("never moves a task back, nor out of a final state", () => {
    fc.assert(
      fc.property(anyState, anyState, (from, to) => {
        const task = buildTask({ status: { state: from } });
        const result = applyReport(task, report(to), NOW);
        if (result.kind !== "updated") return;
        const after = result.task.status?.state ?? 0;
        expect(after).toBeGreaterThanOrEqual(from);
        if (from >= TaskState.COMPLETE) expect(after).toBe(from);
        expect([TaskState.NEW, TaskState.ASSIGNED, TaskState.LOST]).not.toContain(after);
      }),
    );
  });

  it("sets the time by the leader's clock when the state changes, and keeps it otherwise", () => {
    const task = buildTask({ status: { state: TaskState.STARTING, sinceMs: 1 } });
    const moved = applyReport(task, report(TaskState.RUNNING, { sinceMs: 99 }), NOW);
    expect(moved).toMatchObject({
      kind: "updated",
      task: { status: { state: TaskState.RUNNING, sinceMs: NOW } },
    });
    const detail = applyReport(task, report(TaskState.STARTING, { health: Health.STARTING }), NOW);
    expect(detail).toMatchObject({
      kind: "updated",
      task: { status: { health: Health.STARTING, sinceMs: 1 } },
    });
  });

  it("keeps the time when a task began to run, also after it has ended", () => {
    const starting = buildTask({ status: { state: TaskState.STARTING, sinceMs: 1 } });
    const running = applyReport(starting, report(TaskState.RUNNING), NOW);
    if (running.kind !== "updated") throw new Error("it runs");
    expect(running.task.status).toMatchObject({ sinceMs: NOW, runningSinceMs: NOW });
    const ended = applyReport(running.task, report(TaskState.FAILED, { runningSinceMs: 7 }), NOW + 9);
    expect(ended).toMatchObject({ task: { status: { sinceMs: NOW + 9, runningSinceMs: NOW } } });
    const neverRan = applyReport(starting, report(TaskState.REJECTED), NOW);
    expect(neverRan).toMatchObject({ task: { status: { runningSinceMs: undefined } } });
  });

  it("changes nothing for a repeated report", () => {
    const task = buildTask({ status: { state: TaskState.RUNNING, sinceMs: 1, containerId: "c" } });
    expect(applyReport(task, report(TaskState.RUNNING, { sinceMs: 77, containerId: "c" }), NOW).kind).toBe(
      "unchanged",
    );
  });

  it("ignores reports of other nodes, and reports about LOST tasks", () => {
    expect(applyReport(buildTask({ nodeId: "n2" }), report(TaskState.FAILED), NOW).kind).toBe("ignored");
    const lost = buildTask({ status: { state: TaskState.LOST } });
    expect(applyReport(lost, report(TaskState.RUNNING), NOW).kind).toBe("ignored");
  });

  it("deletes the record once the agent reports the requested removal", () => {
    const removed = { ...report(TaskState.SHUTDOWN), removed: true };
    expect(applyReport(buildTask({ desiredState: DesiredState.REMOVE }), removed, NOW).kind).toBe("deleted");
    expect(applyReport(buildTask(), removed, NOW).kind).toBe("ignored");
  });
});
