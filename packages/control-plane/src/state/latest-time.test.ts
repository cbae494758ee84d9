import { JobStatus, Service, Task, TaskStatus } from "@berth/proto";
import { expect, test } from "vitest";
import { ClusterState } from "./cluster-state.js";
import { latestRecordedMs } from "./latest-time.js";

test("latestRecordedMs returns the latest time of any record, and 0 without records", () => {
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
  const job = JobStatus.fromPartial({ startedAtMs: 8, endedAtMs: 9 });
  const service = Service.fromPartial({ id: "s1", job });
  state.apply([{ change: { kind: "put-service", service }, revision: 2n }]);
  expect(latestRecordedMs(state)).toBe(9);
});
