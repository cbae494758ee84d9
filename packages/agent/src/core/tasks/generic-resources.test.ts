import { TaskState } from "@berth/proto";
import { expect, test } from "vitest";
import { selectResources } from "./generic-resources.js";
import { reconcile } from "./reconcile.js";
import type { TaskView } from "./task-view.js";
import { specWith, taskWith, viewWith } from "./testing.js";

const NOW_MS = 100_000;
const DECLARED = { gpu: ["GPU-1", "GPU-2", "GPU-3"] };

function specOf(generic: Readonly<Record<string, number>>) {
  const spec = specWith({});
  const reservations = { nanoCpus: 0, memoryBytes: 0, pids: 0, generic };
  return { ...spec, task: spec.task && { ...spec.task, reservations } };
}

function viewOf(generic: Readonly<Record<string, number>>, resources: TaskView["resources"]): TaskView {
  const assignment = { task: taskWith(), spec: specOf(generic), receivedAtMs: 1_000 };
  return viewWith({ assignment, resources });
}

test("a container gets free names and the numbers of other resources in its variables, as in Swarm", () => {
  const view = viewOf({ gpu: 2, ssd: 1 }, { declared: DECLARED, taken: new Set(["gpu=GPU-1"]) });
  expect(reconcile(view, NOW_MS).step).toMatchObject({
    kind: "create",
    config: {
      body: {
        Env: ["DOCKER_RESOURCE_GPU=GPU-2,GPU-3", "DOCKER_RESOURCE_SSD=1"],
        Labels: { "berth.resources": "gpu=GPU-2,gpu=GPU-3" },
      },
    },
  });
});

test("a task waits while other tasks have the names, or while a container is not known yet", () => {
  for (const taken of [new Set(["gpu=GPU-1", "gpu=GPU-3"]), undefined]) {
    const { step, requeueAtMs, status } = reconcile(
      viewOf({ gpu: 2 }, { declared: DECLARED, taken }),
      NOW_MS,
    );
    expect([step, requeueAtMs]).toEqual([undefined, NOW_MS + 500]);
    expect(status).toMatchObject({
      state: TaskState.PREPARING,
      message: "waiting for other tasks of this node to release resources: gpu",
    });
  }
});

test("a task without named resources waits for nothing", () => {
  expect(selectResources(specOf({ ssd: 1 }), { declared: DECLARED, taken: undefined })).toEqual([]);
  expect(selectResources(specOf({}), { declared: DECLARED, taken: undefined })).toEqual([]);
});
