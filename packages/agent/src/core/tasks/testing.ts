import {
  type AssignedFile,
  AssignedSpec,
  type AssignedTask,
  ContainerSpec,
  DEFAULT_HOST_FILES,
  DEFAULT_POLICY,
  DesiredState,
  FileKind,
  type FileMount,
  Mount,
  type PortSpec,
  type TaskSpec,
} from "@berth/proto";
import type { ObservedContainer } from "../docker/observed-container.js";
import { NO_NETWORKS } from "../networks/task-networks.js";
import type { ResourcesView } from "./generic-resources.js";
import { type FilesView, HOST_ROOT } from "./task-files.js";
import { BLANK_MEMORY } from "./task-memory.js";
import type { NodeFacts, TaskView } from "./task-view.js";

// Valid default values for tests of task decisions. A test sets only the fields that matter to it.

export const NODE: NodeFacts = {
  nodeId: "node1",
  hostname: "host1",
  advertiseAddress: "10.0.0.1",
  engineApiVersion: "1.41",
  isolation: "",
  containerRoot: HOST_ROOT,
};

/** Directory of the files of all tasks. */
export const FILES_DIRECTORY = "/run/berth/secrets";
export const NO_FILES: FilesView = {
  contents: new Map(),
  directory: FILES_DIRECTORY,
  shippedDirectory: "/var/lib/berth/agent/mounts",
};

export const NO_RESOURCES: ResourcesView = { declared: {}, taken: new Set() };

export const CONTAINER_NAME = "shop_web.2.task1";

export const SECRET: FileMount = {
  kind: FileKind.SECRET,
  name: "shop_password",
  versionId: "v1",
  target: "/run/secrets/password",
  uid: "0",
  gid: "0",
  mode: 0o440,
  env: "",
};

export const SHIPPED: Mount = Mount.fromPartial({
  target: "/etc/app",
  kind: { $case: "shipped", value: { digest: `sha256:${"a".repeat(64)}`, source: "./conf" } },
});

export const SECRET_VERSION: AssignedFile = {
  id: "v1",
  content: Buffer.from("swordfish"),
  isTemplate: false,
};

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
    containerId: "",
    owners: [],
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
    name: CONTAINER_NAME,
    taskId: "task1",
    state: "running",
    exitCode: 0,
    error: "",
    outOfMemory: false,
    health: "none",
    healthcheck: undefined,
    healthOutput: "",
    ports: [],
    networks: [],
    tty: false,
    processId: 1_000,
    stopGraceMs: 10_000,
    startedAt: "2026-01-01T00:00:00",
    atMostOne: false,
    resources: [],
    ...fields,
  };
}

/** Returns the view of a task that should run, whose image is present and which has no container. */
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
    policy: { policy: DEFAULT_POLICY, files: DEFAULT_HOST_FILES },
    files: NO_FILES,
    resources: NO_RESOURCES,
    owners: [],
    isFenced: false,
    ...fields,
  };
}
