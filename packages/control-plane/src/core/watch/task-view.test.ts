import {
  TaskReplacement_Cause as Cause,
  DesiredState,
  Health,
  type Service,
  type Task,
  TaskState,
} from "@berth/proto";
import { expect, test } from "vitest";
import { buildService, buildTask } from "../testing/records.js";
import { viewTasks } from "./task-view.js";

interface Situation {
  readonly service?: Service;
  readonly predecessor: Parameters<typeof buildTask>[0];
  readonly drained?: readonly string[];
  readonly specVersion?: number;
}

/** Returns what the second task of a slot replaces. */
function replacement({ service = buildService(), predecessor, drained = [], specVersion = 1 }: Situation) {
  const old = buildTask({ id: "t1", nodeId: "n1", createdAtMs: 1, ...predecessor });
  const task = buildTask({ id: "t2", nodeId: "n2", createdAtMs: 2, specVersion });
  const isDrained = (nodeId: string): boolean => drained.includes(nodeId);
  return viewTasks({ service, tasks: [old, task], isDrained }, new Map()).get("t2")?.view.replaces;
}

const stopped = { desiredState: DesiredState.SHUTDOWN };

test.each<[string, Situation, Cause, string]>([
  [
    "its node is down",
    {
      predecessor: {
        status: { state: TaskState.RUNNING, health: Health.UNKNOWN, message: "node n1 is down" },
      },
    },
    Cause.NODE_LOSS,
    "node n1 is down",
  ],
  [
    "it is lost",
    { predecessor: { status: { state: TaskState.LOST, message: "its node was removed" } } },
    Cause.NODE_LOSS,
    "its node was removed",
  ],
  [
    "the template has changed",
    { service: buildService({ version: 2, templateVersion: 2 }), predecessor: stopped, specVersion: 2 },
    Cause.UPDATE,
    "version 1 → 2",
  ],
  [
    "it is unhealthy",
    {
      predecessor: {
        ...stopped,
        status: { state: TaskState.RUNNING, health: Health.UNHEALTHY, message: "probe failed" },
      },
    },
    Cause.UNHEALTHY,
    "probe failed",
  ],
  ["its node is drained", { predecessor: stopped, drained: ["n1"] }, Cause.DRAIN, "its node is drained"],
  [
    "it has exited",
    { predecessor: { status: { state: TaskState.FAILED, exitCode: 7, message: "" } } },
    Cause.ENDED,
    "ended with exit code 7",
  ],
  [
    "it is rebalanced",
    { predecessor: { ...stopped, status: { state: TaskState.RUNNING, message: "moved to n2" } } },
    Cause.MOVE,
    "moved to n2",
  ],
])("viewTasks: a task replaces another one because %s", (_, situation, cause, message) => {
  expect(replacement(situation)).toEqual({ taskId: "t1", nodeId: "n1", cause, message });
});

test("viewTasks: the reason of a replacement stays when the record of the predecessor changes", () => {
  const service = buildService();
  const isDrained = (): boolean => false;
  const lost = buildTask({
    id: "t1",
    createdAtMs: 1,
    status: { state: TaskState.LOST, message: "n1 is down" },
  });
  const task = buildTask({ id: "t2", createdAtMs: 2, status: { state: TaskState.STARTING } });
  const first = viewTasks({ service, tasks: [lost, task], isDrained }, new Map());
  const running: Task = buildTask({ id: "t2", createdAtMs: 2, status: { state: TaskState.RUNNING } });
  const second = viewTasks({ service, tasks: [running], isDrained }, first);
  expect(second.get("t2")?.view).toMatchObject({ state: TaskState.RUNNING, replaces: { taskId: "t1" } });
});

test("viewTasks: only the newest task of a slot and tasks that have to stop are in the view", () => {
  const failed = buildTask({ id: "t1", createdAtMs: 1, status: { state: TaskState.FAILED } });
  const stopping = buildTask({ id: "t2", createdAtMs: 2, ...stopped });
  const newest = buildTask({ id: "t3", createdAtMs: 3, specVersion: 2 });
  const service = buildService({ version: 2, templateVersion: 2 });
  const views = viewTasks({ service, tasks: [failed, stopping, newest], isDrained: () => false }, new Map());
  expect([...views].map(([id, { view }]) => [id, view.isOutdated])).toEqual([
    ["t2", true],
    ["t3", false],
  ]);
});

test("viewTasks reuses the view of a record that has not changed", () => {
  const service = buildService();
  const tasks = [buildTask()];
  const first = viewTasks({ service, tasks, isDrained: () => false }, new Map());
  const second = viewTasks({ service, tasks, isDrained: () => false }, first);
  expect(second.get("t1")?.view).toBe(first.get("t1")?.view);
});
