import { describe, expect, it } from "vitest";
import type { JsonObject } from "../json.js";
import { decodeNode, nodeStatus } from "./node.js";
import { decodeTask } from "./task.js";
import { isOnMap, taskDisplay } from "./task-display.js";

const ready: JsonObject = { id: "n1", hostname: "h1", state: "NODE_STATE_READY" };
const running: JsonObject = {
  id: "t1",
  serviceId: "s1",
  nodeId: "n1",
  state: "TASK_STATE_RUNNING",
  desiredState: "DESIRED_STATE_RUNNING",
};

function display(task: JsonObject, node: JsonObject | undefined = ready, isCurrent = true) {
  const decoded = decodeTask(task, () => "shop_web");
  if (decoded === undefined) throw new Error("the task has no id");
  return taskDisplay(decoded, node && decodeNode(node), isCurrent);
}

describe("taskDisplay", () => {
  it("shows a task as running only if its node reports it", () => {
    expect(display(running)).toBe("running");
    expect(display(running, { ...ready, state: "NODE_STATE_DOWN" })).toBe("unknown");
    expect(display(running, { ...ready, isSuspect: true })).toBe("unknown");
    expect(display(running, { ...ready, agentUnreachable: true })).toBe("unknown");
    expect(display({ ...running, health: "HEALTH_UNKNOWN" })).toBe("unknown");
    expect(display(running, ready, false)).toBe("unknown");
  });

  it("shows a state that it does not know as unknown", () => {
    expect(display({ ...running, state: "TASK_STATE_LEVITATING" })).toBe("unknown");
    expect(display(running, { id: "n1" })).toBe("unknown");
  });

  it("shows a task without a state as waiting", () => {
    expect(display({ id: "t1" })).toBe("waiting");
  });

  it("distinguishes healthy, unhealthy, starting and stopping tasks", () => {
    expect(display({ ...running, health: "HEALTH_UNHEALTHY" })).toBe("unhealthy");
    expect(display({ ...running, state: "TASK_STATE_PREPARING" })).toBe("starting");
    expect(display({ ...running, desiredState: "DESIRED_STATE_SHUTDOWN" })).toBe("stopping");
  });

  it("keeps the final state of a task on a node that is down", () => {
    expect(display({ ...running, state: "TASK_STATE_FAILED" }, { ...ready, state: "NODE_STATE_DOWN" })).toBe(
      "failed",
    );
  });
});

describe("isOnMap", () => {
  const onMap = (fields: JsonObject): boolean => {
    const task = decodeTask({ ...running, ...fields }, () => "shop_web");
    return task !== undefined && isOnMap(task);
  };

  it("has cells for tasks that run or have failed, and none for tasks that were stopped or are complete", () => {
    expect(onMap({})).toBe(true);
    expect(onMap({ state: "TASK_STATE_FAILED" })).toBe(true);
    expect(onMap({ state: "TASK_STATE_COMPLETE" })).toBe(false);
    expect(onMap({ state: "TASK_STATE_SHUTDOWN", desiredState: "DESIRED_STATE_SHUTDOWN" })).toBe(false);
  });
});

describe("nodeStatus", () => {
  const status = (fields: JsonObject, isCurrent = true) => {
    const node = decodeNode({ ...ready, ...fields });
    return node && nodeStatus(node, isCurrent);
  };

  it("shows a failure rather than the availability", () => {
    expect(status({ availability: "AVAILABILITY_DRAIN" })).toBe("drain");
    expect(status({ availability: "AVAILABILITY_DRAIN", state: "NODE_STATE_DOWN" })).toBe("down");
    expect(status({ availability: "AVAILABILITY_PAUSE", isSuspect: true })).toBe("suspect");
    expect(status({ awaitsApproval: true, state: "NODE_STATE_DOWN" })).toBe("joining");
  });

  it("the status of a node is unknown while the web UI is cut off", () => {
    expect(status({}, false)).toBe("unknown");
  });
});
