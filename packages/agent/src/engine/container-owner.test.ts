import { ContainerSpec } from "@berth/proto";
import { expect, test } from "vitest";
import { OWNER_LABEL, TASK_LABEL } from "../core/docker/labels.js";
import { NO_NETWORKS } from "../core/networks/task-networks.js";
import { containerConfig } from "../core/tasks/container-config.js";
import { NO_FILES, NODE, specWith, taskWith } from "../core/tasks/testing.js";
import { containerOwner } from "./container-owner.js";

const owner = containerOwner("key");

function signedContainer(userLabels: Record<string, string> = {}) {
  const container = ContainerSpec.fromPartial({ image: "web:1", labels: userLabels });
  const config = containerConfig({
    task: taskWith(),
    spec: specWith(),
    container,
    node: NODE,
    networks: NO_NETWORKS,
    files: NO_FILES,
    owners: [],
  });
  const { name, body } = owner.sign(config);
  return { name, labels: body.Labels };
}

test("an agent recognizes a container that it created", () => {
  const { name, labels } = signedContainer();
  expect(owner.taskIdOf(labels, name)).toBe("task1");
});

test("label-spoof-untouched: an agent does not recognize a container whose labels were copied or made up", () => {
  const { name, labels } = signedContainer();
  const cases: readonly (readonly [string, unknown, string])[] = [
    ["a docker run with the task's label", { [TASK_LABEL]: "task1" }, name],
    ["an image that was committed from the container", labels, "brave_turing"],
    ["another task", { ...labels, [TASK_LABEL]: "task2" }, name],
    ["a guessed proof", { ...labels, [OWNER_LABEL]: "0".repeat(32) }, name],
    ["a proof of another length", { ...labels, [OWNER_LABEL]: "\u00e9".repeat(32) }, name],
    ["no task", { ...labels, [TASK_LABEL]: "" }, name],
    ["no labels", undefined, name],
  ];
  for (const [what, claimed, claimedName] of cases) {
    expect(owner.taskIdOf(claimed, claimedName), what).toBe("");
  }
});

test("an agent does not recognize a container of an agent with another key", () => {
  const { name, labels } = signedContainer();
  expect(containerOwner("other").taskIdOf(labels, name)).toBe("");
});

test("labels of the spec do not replace the proof", () => {
  const { name, labels } = signedContainer({ [OWNER_LABEL]: "forged", [TASK_LABEL]: "forged" });
  expect(owner.taskIdOf(labels, name)).toBe("task1");
});
