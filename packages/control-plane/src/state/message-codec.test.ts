import { Node, ServiceSpec, TaskState } from "@berth/proto";
import { expect, test } from "vitest";
import { buildTask } from "../core/testing/records.js";
import { changeKey, decodeEntry, encodeValue, type Put } from "./change.js";
import { decodeMessage, encodeMessage } from "./message-codec.js";

/** Decodes the value of a task's record as a newer release wrote it, changes the task, and returns the new value. */
function rewriteTask(value: object, change: (put: Put & { readonly kind: "put-task" }) => Put): unknown {
  const key = changeKey({ kind: "put-task", task: buildTask() });
  const decoded = decodeEntry({ key, value: JSON.stringify(value), createRevision: 1n, modRevision: 1n });
  if (decoded.kind !== "put" || decoded.put.kind !== "put-task") throw new Error("not a task");
  return JSON.parse(encodeValue(change(decoded.put)) ?? "");
}

function storedTask(): Readonly<Record<string, object>> {
  return JSON.parse(encodeValue({ kind: "put-task", task: buildTask() }) ?? "");
}

test("a change of a record keeps the fields that only a newer release knows, also in nested messages", () => {
  const stored = storedTask();
  const status = { ...stored.status, gpu: { uuid: "g1" } };
  const written = rewriteTask({ ...stored, status, cell: "c7" }, ({ task }) => ({
    kind: "put-task",
    task: {
      ...task,
      restarts: 3,
      status: task.status && { ...task.status, state: TaskState.FAILED, message: "exited" },
    },
  }));
  expect(written).toMatchObject({
    restarts: 3,
    cell: "c7",
    status: { state: "TASK_STATE_FAILED", message: "exited", gpu: { uuid: "g1" } },
  });
});

test("a message that is replaced as a whole keeps nothing of the message before", () => {
  const stored = storedTask();
  const value = { ...stored, status: { ...stored.status, gpu: "g1" } };
  const status = buildTask().status;
  const written = rewriteTask(value, ({ task }) => ({ kind: "put-task", task: { ...task, status } }));
  expect(written).toMatchObject({ status: expect.not.objectContaining({ gpu: "g1" }) });
});

test("unknown fields of repeated messages are kept", () => {
  const listeners = [{ port: 80 }, { port: 81, process: "nginx" }];
  const value = { id: "n1", labels: { zone: "a" }, description: { hostname: "h", listeners } };
  const decoded = decodeMessage(Node, value);
  expect(encodeMessage(Node, { ...decoded, stateMessage: "x" })).toEqual({ ...value, stateMessage: "x" });
});

test("unknown fields of the member of a oneof are kept", () => {
  const value = { name: "web", replicated: { replicas: 2, zones: ["a"] }, canary: { percent: 5 } };
  expect(encodeMessage(ServiceSpec, decodeMessage(ServiceSpec, value))).toEqual(value);
});

test("a message without unknown fields is decoded as the generated code decodes it", () => {
  expect(rewriteTask(storedTask(), (put) => put)).toEqual(storedTask());
  expect(Object.getOwnPropertySymbols(decodeMessage(Node, { id: "n1" }))).toEqual([]);
});

test("a record with an enum value of a newer release is unreadable, so it is not written", () => {
  const stored = storedTask();
  const key = changeKey({ kind: "put-task", task: buildTask() });
  const value = JSON.stringify({ ...stored, status: { ...stored.status, state: "TASK_STATE_FROZEN" } });
  expect(decodeEntry({ key, value, createRevision: 1n, modRevision: 1n })).toEqual({
    kind: "unreadable",
    reason: expect.stringContaining("TASK_STATE_FROZEN"),
  });
});
