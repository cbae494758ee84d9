import type { Task } from "@berth/proto";
import { expect, it } from "vitest";
import { buildTask } from "../../core/testing/records.js";
import { ManualClock } from "../../testing/manual-clock.js";
import type { ApiContext } from "../api-context.js";
import { followLogs } from "./follow-logs.js";
import type { LogReader } from "./log-reader.js";

function taskWithLog(id: string): Task {
  const task = buildTask({ id, serviceId: "web", nodeId: "n1" });
  if (task.status !== undefined) task.status.containerId = `container-of-${id}`;
  return task;
}

it("follows new tasks but not the tasks beyond the limit when their records change", async () => {
  const abort = new AbortController();
  const followed: string[] = [];
  const follow = (task: Task) => {
    followed.push(task.id);
    return { task, log: { take: () => new Promise<undefined>(() => {}) } };
  };
  const reader = { signal: abort.signal, follow, followNew: follow } as unknown as LogReader;
  let onChange: (delta: unknown) => void = () => {};
  const context = {
    runtime: { clock: new ManualClock() },
    state: {
      onChange: (listener: (delta: unknown) => void) => {
        onChange = listener;
        return () => {};
      },
    },
  } as unknown as ApiContext;
  const [shown, skipped, created] = ["shown", "skipped", "created"].map(taskWithLog) as [Task, Task, Task];
  const target = { kind: "service", serviceId: "web", slot: undefined, tasks: [shown, skipped] } as const;
  const lines = followLogs({ target, tasks: [shown], skipped: [skipped], reader, context });
  const next = lines.next();

  for (const after of [skipped, created]) {
    onChange({ tasks: new Map([[after.id, { before: undefined, after }]]) });
  }
  abort.abort();
  await next;

  expect(followed).toEqual(["shown", "created"]);
});
