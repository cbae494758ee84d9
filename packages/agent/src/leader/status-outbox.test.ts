import { type ReportedTask, TaskState, TaskStatus } from "@berth/proto";
import { expect, test } from "vitest";
import { StatusOutbox } from "./status-outbox.js";

function report(taskId: string, state: TaskState = TaskState.RUNNING): ReportedTask {
  return { taskId, serviceId: "s", status: TaskStatus.fromPartial({ state }), removed: false };
}
const idsOf = (outbox: StatusOutbox): string[] | undefined =>
  outbox.take()?.tasks.map(({ taskId }) => taskId);

test("Outbox sends the latest of each task once", () => {
  const outbox = new StatusOutbox();
  outbox.put(report("a", TaskState.STARTING));
  outbox.put(report("b"));
  outbox.put(report("a", TaskState.RUNNING));
  const batch = outbox.take();
  expect(batch?.tasks.map(({ status }) => status?.state)).toEqual([TaskState.RUNNING, TaskState.RUNNING]);
  expect(outbox.take()).toBeUndefined();
});

test("Outbox repeats what was not acknowledged, and not what was", () => {
  const outbox = new StatusOutbox();
  outbox.put(report("a"));
  const first = outbox.take()?.batch ?? 0;
  outbox.put(report("b"));
  outbox.take();
  outbox.acknowledge(first);
  outbox.repeatUnacked();
  expect(idsOf(outbox)).toEqual(["b"]);
});

test("Outbox does not take the acknowledgement of an older status for that of a newer one", () => {
  const outbox = new StatusOutbox();
  outbox.put(report("a", TaskState.STARTING));
  const batch = outbox.take()?.batch ?? 0;
  outbox.put(report("a", TaskState.RUNNING));
  outbox.acknowledge(batch);
  expect(outbox.take()?.tasks[0]?.status?.state).toBe(TaskState.RUNNING);
  outbox.repeatUnacked();
  expect(idsOf(outbox)).toEqual(["a"]);
});

test("Outbox tells a new leader everything, but nothing of forgotten tasks", () => {
  const outbox = new StatusOutbox();
  outbox.put(report("a"));
  outbox.put(report("b"));
  outbox.acknowledge(outbox.take()?.batch ?? 0);
  outbox.forget("b");
  outbox.repeatAll();
  expect(idsOf(outbox)).toEqual(["a"]);
});

test("Outbox cuts what is too much for one message", () => {
  const outbox = new StatusOutbox();
  for (let index = 0; index < 1_200; index += 1) outbox.put(report(`t${index}`));
  const sizes = [outbox.take(), outbox.take(), outbox.take()].map((batch) => batch?.tasks.length);
  expect(sizes).toEqual([500, 500, 200]);
  expect(outbox.hasUnsent).toBe(false);
});
