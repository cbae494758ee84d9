import { randomBytes } from "node:crypto";
import {
  AssignedSpec,
  type AssignedTask,
  ContainerSpec,
  DesiredState,
  type PortSpec,
  type TaskSpec,
} from "@berth/proto";

/** The BusyBox image that `importBusybox` creates. */
export const IMAGE = "busybox:test";

/** Exits at once on SIGTERM, unlike `sleep` as process 1. */
export const RUN_UNTIL_STOPPED = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"];

export interface SpecOptions {
  readonly serviceId?: string;
  readonly command?: readonly string[];
  readonly container?: Partial<ContainerSpec>;
  readonly ports?: readonly Partial<PortSpec>[];
  readonly task?: Partial<TaskSpec>;
}

export function specOf(options: SpecOptions = {}): AssignedSpec {
  const { serviceId = "s1", command = RUN_UNTIL_STOPPED, container, ports = [], task } = options;
  return AssignedSpec.fromPartial({
    serviceId,
    version: 1,
    task: {
      ...task,
      container: ContainerSpec.fromPartial({
        image: IMAGE,
        command: { values: [...command] },
        stopGraceMs: 2_000,
        ...container,
      }),
    },
    ports: [...ports],
  });
}

export function taskOf(spec: AssignedSpec, fields: Partial<AssignedTask> = {}): AssignedTask {
  return {
    id: `t${randomBytes(6).toString("hex")}`,
    serviceId: spec.serviceId,
    serviceName: "shop_web",
    stack: "shop",
    slot: 1,
    specVersion: spec.version,
    desiredState: DesiredState.RUNNING,
    atMostOne: false,
    containerId: "",
    owners: [],
    ...fields,
  };
}
