import {
  AssignedSpec,
  type AssignedTask,
  ContainerSpec,
  DesiredState,
  type PortSpec,
  type TaskSpec,
} from "@berth/proto";
import type { ObservedContainer } from "../docker/observed-container.js";
import { NO_NETWORKS } from "../networks/networks-view.js";
import type { NodeFacts } from "./node-facts.js";
import { BLANK_MEMORY, type TaskView } from "./task-view.js";

// Values for tests, with everything set that a test does not care about.

export const NODE: NodeFacts = {
  nodeId: "node1",
  hostname: "host1",
  advertiseAddress: "10.0.0.1",
  engineApiVersion: "1.41",
};

export const NAME = "shop_web.2.task1";

export function taskWith(fields: Partial<AssignedTask> = {}): AssignedTask {
  return {
    id: "task1",
    serviceId: "service1",
    serviceName: "shop_web",
    stack: "shop",
    slot: 2,
    specVersion: 3,
    desiredState: DesiredState.RUNNING,
    atMostOne: false,
    ...fields,
  };
}

export interface SpecParts {
  readonly container?: Partial<ContainerSpec>;
  readonly task?: Partial<TaskSpec>;
  readonly ports?: readonly Partial<PortSpec>[];
}

export function specWith({ container, task, ports = [] }: SpecParts = {}): AssignedSpec {
  const containerSpec = ContainerSpec.fromPartial({ image: "web:1", ...container });
  return AssignedSpec.fromPartial({
    serviceId: "service1",
    version: 3,
    task: { ...task, container: containerSpec },
    ports: [...ports],
  });
}

export function containerWith(fields: Partial<ObservedContainer> = {}): ObservedContainer {
  return {
    id: "c1",
    name: NAME,
    taskId: "task1",
    state: "running",
    exitCode: 0,
    error: "",
    outOfMemory: false,
    health: "none",
    healthOutput: "",
    ports: [],
    networks: [],
    tty: false,
    processId: 1_000,
    stopGraceMs: 10_000,
    atMostOne: false,
    ...fields,
  };
}

/** A task that should run, whose image is here and which has no container yet. */
export function viewWith(fields: Partial<TaskView> = {}): TaskView {
  return {
    taskId: "task1",
    assignment: { task: taskWith(), spec: specWith(), receivedAtMs: 1_000 },
    containers: [],
    status: undefined,
    memory: BLANK_MEMORY,
    image: { state: "present", pullBeganAtMs: 0 },
    node: NODE,
    networks: NO_NETWORKS,
    isFenced: false,
    ...fields,
  };
}
