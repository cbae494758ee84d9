import { type ReportedTask, TaskState, TaskStatus, TaskStatuses } from "@berth/proto";
import { expect, test } from "vitest";
import { StatusOutbox } from "./status-outbox.js";

function report(taskId: string, state: TaskState = TaskState.RUNNING): ReportedTask {
  return { taskId, serviceId: "s", status: TaskStatus.fromPartial({ state }), removed: false };
}
const idsOf = (outbox: StatusOutbox): string[] | undefined =>
  outbox.takeBatch()?.tasks.map(({ taskId }) => taskId);

test("StatusOutbox sends the latest status of each task once", () => {
  const outbox = new StatusOutbox();
  outbox.put(report("a", TaskState.STARTING));
  outbox.put(report("b"));
  outbox.put(report("a", TaskState.RUNNING));
  const batch = outbox.takeBatch();
  expect(batch?.tasks.map(({ status }) => status?.state)).toEqual([TaskState.RUNNING, TaskState.RUNNING]);
  expect(outbox.takeBatch()).toBeUndefined();
});

test("StatusOutbox splits statuses with long messages into several batches", () => {
  const outbox = new StatusOutbox();
  const status = TaskStatus.fromPartial({ message: "x".repeat(8_192) });
  for (let index = 0; index < 300; index++) outbox.put({ ...report(`t${index}`), status });
  const sizes: number[] = [];
  for (let batch = outbox.takeBatch(); batch !== undefined; batch = outbox.takeBatch())
    sizes.push(TaskStatuses.encode(batch).finish().length);
  expect(sizes).toHaveLength(3);
  expect(Math.max(...sizes)).toBeLessThan(1.1 * 1024 * 1024);
});

test("StatusOutbox resends only what was not acknowledged", () => {
  const outbox = new StatusOutbox();
  outbox.put(report("a"));
  const first = outbox.takeBatch()?.batch ?? 0;
  outbox.put(report("b"));
  outbox.takeBatch();
  outbox.acknowledge(first);
  outbox.markUnacknowledgedUnsent();
  expect(idsOf(outbox)).toEqual(["b"]);
});

test("StatusOutbox does not apply the acknowledgement of an older status to a newer one", () => {
  const outbox = new StatusOutbox();
  outbox.put(report("a", TaskState.STARTING));
  const batch = outbox.takeBatch()?.batch ?? 0;
  outbox.put(report("a", TaskState.RUNNING));
  outbox.acknowledge(batch);
  expect(outbox.takeBatch()?.tasks[0]?.status?.state).toBe(TaskState.RUNNING);
  outbox.markUnacknowledgedUnsent();
  expect(idsOf(outbox)).toEqual(["a"]);
});

test("StatusOutbox sends a new leader everything except forgotten tasks", () => {
  const outbox = new StatusOutbox();
  outbox.put(report("a"));
  outbox.put(report("b"));
  outbox.acknowledge(outbox.takeBatch()?.batch ?? 0);
  outbox.forget("b");
  outbox.markAllUnsent();
  expect(idsOf(outbox)).toEqual(["a"]);
});

test("StatusOutbox splits statuses into bounded batches", () => {
  const outbox = new StatusOutbox();
  for (let index = 0; index < 1_200; index += 1) outbox.put(report(`t${index}`));
  const sizes = [outbox.takeBatch(), outbox.takeBatch(), outbox.takeBatch()].map(
    (batch) => batch?.tasks.length,
  );
  expect(sizes).toEqual([500, 500, 200]);
  expect(outbox.hasUnsent).toBe(false);
});

test.each(["markUnacknowledgedUnsent", "markAllUnsent"] as const)(
  "StatusOutbox counts a status as acknowledged only in the batch that it was resent in (%s)",
  (markUnsent) => {
    const outbox = new StatusOutbox();
    for (let index = 0; index < 1_000; index++) outbox.put(report(`t${index}`));
    while (outbox.hasUnsent) outbox.takeBatch();
    outbox[markUnsent]();
    const resent = outbox.takeBatch();
    outbox.acknowledge(resent?.batch ?? 0);
    // The connection ends after the second batch was sent, but before the leader has stored it.
    const lost = idsOf(outbox);
    outbox.markUnacknowledgedUnsent();
    expect(lost).toHaveLength(500);
    expect(idsOf(outbox)).toEqual(lost);
  },
);
