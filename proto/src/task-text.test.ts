import { expect, test } from "vitest";
import { TaskState, TaskStatus } from "../gen/berth/v1/cluster.js";
import { exitCodeText, taskStatusText } from "./task-text.js";

test.each([
  [0, "exit code 0"],
  [128, "exit code 128"],
  [137, "exit code 137 (signal 9)"],
  [255, "exit code 255"],
])("exitCodeText of %i is %j", (exitCode, text) => {
  expect(exitCodeText(exitCode)).toBe(text);
});

const { FAILED, SHUTDOWN, REJECTED } = TaskState;

test.each([
  [{ state: FAILED, exitCode: 3 }, "ended with exit code 3"],
  [{ state: FAILED, exitCode: 3, message: "ended with exit code 3" }, "ended with exit code 3"],
  [
    { state: FAILED, exitCode: 137, message: "memory limit exceeded" },
    "exit code 137 (signal 9): memory limit exceeded",
  ],
  [{ state: SHUTDOWN, exitCode: 143, message: "stopped" }, "stopped"],
  [{ state: REJECTED, message: "image not found" }, "image not found"],
  [{ state: FAILED }, ""],
])("taskStatusText of %j is %j", (status, text) => {
  expect(taskStatusText(TaskStatus.fromPartial(status))).toBe(text);
});

test("taskStatusText of a task without a status is empty", () => {
  expect(taskStatusText(undefined)).toBe("");
});
