import { type Mount, TaskState } from "@berth/proto";
import { expect, test } from "vitest";
import { reconcile } from "./reconcile.js";
import { BLANK_MEMORY } from "./task-memory.js";
import type { TaskView } from "./task-view.js";
import { NODE, SHIPPED, specWith, taskWith, viewWith } from "./testing.js";

const NOW_MS = 100_000;
const VOLUME: Mount = { target: "/data", readOnly: false, kind: undefined };

function viewOf(fields: Partial<TaskView> = {}): TaskView {
  const spec = specWith({ container: { mounts: [VOLUME, SHIPPED] } });
  return viewWith({ assignment: { task: taskWith(), spec, receivedAtMs: 1_000 }, ...fields });
}

test("the copies of a task are written before its container, which mounts them", () => {
  const { step } = reconcile(viewOf(), NOW_MS);
  expect(step).toEqual({
    kind: "write-shipped",
    taskId: "task1",
    mounts: [{ name: "mount-1", digest: `sha256:${"a".repeat(64)}`, source: "./conf" }],
    ownerOffset: { uid: 0, gid: 0 },
    directoryGid: 0,
  });
  const written = viewOf({ memory: { ...BLANK_MEMORY, shipped: "written" } });
  expect(reconcile(written, NOW_MS).step).toMatchObject({
    kind: "create",
    config: {
      body: {
        HostConfig: {
          Mounts: [{ Type: "volume" }, { Source: "/var/lib/berth/agent/mounts/task1/mount-1" }],
        },
      },
    },
  });
});

test("the copies have the owners of a host whose Docker remaps users", () => {
  const containerRoot = { uid: 100_000, gid: 100_000 };
  const view = viewOf({ node: { ...NODE, containerRoot } });
  expect(reconcile(view, NOW_MS).step).toMatchObject({ ownerOffset: containerRoot, directoryGid: 100_000 });
});

test("the copies of a task without a container are removed", () => {
  const view = viewOf({ assignment: undefined, memory: { ...BLANK_MEMORY, shipped: "unverified" } });
  expect(reconcile(view, NOW_MS).step).toEqual({ kind: "remove-files", taskId: "task1" });
});

test("rootless Docker rejects a task with a shipped mount", () => {
  const view = viewOf({ node: { ...NODE, isolation: "rootless Docker" } });
  expect(reconcile(view, NOW_MS).status).toMatchObject({
    state: TaskState.REJECTED,
    message: "shipped mounts need Docker on Linux as root: this node has rootless Docker",
  });
});
