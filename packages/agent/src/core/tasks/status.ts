import {
  type AssignedSpec,
  DesiredState,
  exitCodeText,
  Health,
  type HostPort,
  MAX_STATUS_MESSAGE_LENGTH,
  NetworkMode,
  PortSpec_Protocol,
  TaskState,
  type TaskStatus,
} from "@berth/proto";
import { type ContainerHealth, isAlive, type ObservedContainer } from "../docker/observed-container.js";
import { addressesIn, networkWait } from "../networks/task-networks.js";
import { resourceWait } from "./generic-resources.js";
import { isAwaitingPostStart, preStopNote } from "./hooks.js";
import { ownerWait } from "./owner-containers.js";
import { isAwaitingPorts, portMessage } from "./readiness.js";
import { healthOf } from "./start-check.js";
import { fileWait } from "./task-files.js";
import { hasEnded } from "./task-memory.js";
import type { TaskView } from "./task-view.js";

const HEALTH_OF: Readonly<Record<ContainerHealth, Health>> = {
  none: Health.UNSPECIFIED,
  starting: Health.STARTING,
  healthy: Health.HEALTHY,
  unhealthy: Health.UNHEALTHY,
};

/** A state and its reason, without the details of the container. */
interface StateAndReason {
  readonly state: TaskState;
  readonly message: string;
  /** Error code of the reason, if it has one. */
  readonly errorCode?: string;
  /** Whether the cause lies outside the task and the node, so that neither counts as failing. */
  readonly stoppedExternally?: boolean;
}

/** Returns whether the task has ended for good. */
export function isFinal(status: TaskStatus | undefined): boolean {
  return status !== undefined && status.state >= TaskState.COMPLETE;
}

/**
 * Derives the task's status from what is observed. States only move forward, and a final status never changes. Returns
 * undefined while there is nothing to report.
 */
export function statusOf(view: TaskView, container: ObservedContainer | undefined): TaskStatus | undefined {
  if (view.assignment === undefined || isFinal(view.status)) return view.status;
  const next = nextStatus(view, container, view.assignment.spec);
  if (next === undefined || view.status === undefined || next.state >= view.status.state) return next;
  return { ...next, state: view.status.state };
}

function nextStatus(
  view: TaskView,
  container: ObservedContainer | undefined,
  spec: AssignedSpec,
): TaskStatus | undefined {
  if (container === undefined) return statusWithoutContainer(view);
  if (isAlive(container)) return runningStatus(view, container, spec);
  if (container.state === "created") {
    const verdict = endedBeforeStart(view);
    return verdict === undefined
      ? preparingStatus(view)
      : createStatus({ ...verdict, containerId: container.id });
  }
  const verdict = endedAfterStart(view, container);
  const message = `${verdict.message}${preStopNote(view, container)}`;
  return createStatus({ ...verdict, message, containerId: container.id, exitCode: container.exitCode });
}

function statusWithoutContainer(view: TaskView): TaskStatus | undefined {
  const { containerId } = view.memory;
  const verdict = endedBeforeStart(view) ?? (containerId === "" ? undefined : REMOVED_OUTSIDE);
  return verdict === undefined ? preparingStatus(view) : createStatus({ ...verdict, containerId });
}

const REMOVED_OUTSIDE: StateAndReason = {
  state: TaskState.FAILED,
  message: "container was removed outside berth",
  stoppedExternally: true,
};

function endedBeforeStart({ assignment, memory }: TaskView): StateAndReason | undefined {
  if (memory.rejection !== "") {
    const { rejection: message, rejectionCode: errorCode = "" } = memory;
    return { state: TaskState.REJECTED, message, errorCode };
  }
  if (shouldRun(assignment?.task.desiredState)) return undefined;
  return { state: TaskState.SHUTDOWN, message: "stopped before it started" };
}

function endedAfterStart(view: TaskView, container: ObservedContainer): StateAndReason {
  const { memory, assignment } = view;
  if (!shouldRun(assignment?.task.desiredState)) return { state: TaskState.SHUTDOWN, message: "stopped" };
  if (memory.failure !== "") return { state: TaskState.FAILED, message: memory.failure };
  if (memory.externalSignal !== "") {
    return {
      state: TaskState.FAILED,
      message: `stopped outside berth (signal ${memory.externalSignal})`,
      stoppedExternally: true,
    };
  }
  if (container.outOfMemory) {
    return { state: TaskState.FAILED, message: "killed by the kernel: memory limit exceeded" };
  }
  // A restarting daemon stops its containers, and many exit with 0. This does not mean that the task is complete.
  if (container.exitCode === 0 && memory.wasUnobserved) {
    const message = "ended with exit code 0 while Docker was unavailable";
    return { state: TaskState.FAILED, message, stoppedExternally: true };
  }
  if (container.exitCode === 0) return { state: TaskState.COMPLETE, message: "ended with exit code 0" };
  return {
    state: TaskState.FAILED,
    message: exitMessage(container),
    stoppedExternally: memory.wasUnobserved,
  };
}

function exitMessage({ exitCode, error }: ObservedContainer): string {
  return `ended with ${exitCodeText(exitCode)}${error === "" ? "" : `: ${error}`}`;
}

function runningStatus(view: TaskView, container: ObservedContainer, spec: AssignedSpec): TaskStatus {
  const wasRunning = view.status?.state === TaskState.RUNNING;
  const health = healthOf(view.memory, container);
  const isHealthy = health === "none" || health === "healthy";
  const isReady = isHealthy && !isAwaitingPorts(view, container) && !isAwaitingPostStart(view, container);
  const running = createStatus({
    state: wasRunning || isReady ? TaskState.RUNNING : TaskState.STARTING,
    message: runningMessage(view, container),
    containerId: container.id,
    health: HEALTH_OF[health],
    // Without a readable spec, the ports of a container on the host network are unknown: the last known ones are kept.
    ports:
      (spec.task ? undefined : view.status?.ports) ?? hostPorts(container, spec, view.node.advertiseAddress),
    addresses: addressesIn(spec, container.networks, view.networks, view.status?.addresses ?? []),
  });
  return hasEnded(container, view.memory) ? processEndedStatus(running) : running;
}

/** Returns an unhealthy status for a running task whose process has ended. Docker reports the exit code later. */
export function processEndedStatus(running: TaskStatus): TaskStatus {
  return {
    ...running,
    health: Health.UNHEALTHY,
    message: "its process has ended; waiting for Docker to report the exit code",
  };
}

/**
 * Returns the status of a running task whose process has ended while Docker is unavailable. The exit code stays unknown
 * until Docker is back, which may take long, and the task cannot run again.
 */
export function endedUnobservedStatus(running: TaskStatus): TaskStatus {
  return createStatus({
    state: TaskState.FAILED,
    message: "ended while Docker was unavailable",
    stoppedExternally: true,
    containerId: running.containerId,
  });
}

function runningMessage(view: TaskView, container: ObservedContainer): string {
  if (container.state === "paused") return "paused outside berth";
  if (view.memory.failure !== "") return `stopping: ${view.memory.failure}`;
  if (isAwaitingPostStart(view, container)) return "waiting for its post_start hooks";
  if (healthOf(view.memory, container) === "starting") return "waiting for its healthcheck";
  if (container.health === "unhealthy") return unhealthyMessage(container);
  return portMessage(view.memory, container);
}

/** Returns a message with the output of the last healthcheck probe. */
export function unhealthyMessage(container: ObservedContainer): string {
  return container.healthOutput === "" ? "unhealthy" : `unhealthy: ${container.healthOutput}`;
}

/** Returns the status of a task without a running container, with a message about what it waits for. */
function preparingStatus(view: TaskView): TaskStatus | undefined {
  const message = preparingMessage(view);
  return message === "" ? view.status : createStatus({ state: TaskState.PREPARING, message });
}

function preparingMessage(view: TaskView): string {
  const { memory, image, assignment, networks } = view;
  if (memory.retry !== undefined) return `retrying: ${memory.retry.reason}`;
  const name = assignment?.spec.task?.container?.image ?? "";
  if (image.state !== "absent") {
    return assignment === undefined
      ? ""
      : networkWait(assignment.spec, networks) || fileWait(view) || ownerWait(view) || resourceWait(view);
  }
  return `pulling image ${name}${memory.pulledPercent === undefined ? "" : ` (${memory.pulledPercent} %)`}`;
}

/** Returns the published ports, or the target ports of a container on the host network, which publishes none. */
function hostPorts(container: ObservedContainer, spec: AssignedSpec, advertise: string): HostPort[] {
  if (spec.task?.container?.networkMode === NetworkMode.HOST) {
    return spec.ports.map(({ protocol, target }) => ({ protocol, target, hostPort: target }));
  }
  const ports = new Map<string, HostPort>();
  const advertisedFirst = container.ports.toSorted(
    (left, right) => Number(right.hostIp === advertise) - Number(left.hostIp === advertise),
  );
  for (const { protocol, target, hostPort } of advertisedFirst) {
    const key = `${protocol}/${target}/${hostPort}`;
    if (!ports.has(key)) ports.set(key, { protocol: protocol || PortSpec_Protocol.TCP, target, hostPort });
  }
  return [...ports.values()];
}

/** Returns whether the leader wants the task to run. */
export function shouldRun(desired: DesiredState | undefined): boolean {
  return desired !== undefined && desired < DesiredState.SHUTDOWN;
}

/** Returns whether two statuses have equal fields. */
export function isSameStatus(left: TaskStatus | undefined, right: TaskStatus | undefined): boolean {
  return left === right || JSON.stringify(left) === JSON.stringify(right);
}

/** Returns a status with the given fields; the others are empty. Shortens a message that the leader would reject. */
function createStatus(fields: Partial<TaskStatus> & StateAndReason): TaskStatus {
  const emptyStatus = {
    sinceMs: 0,
    containerId: "",
    health: Health.UNSPECIFIED,
    ports: [],
    addresses: [],
    stoppedExternally: false,
    errorCode: "",
  };
  return { ...emptyStatus, ...fields, message: fields.message.slice(0, MAX_STATUS_MESSAGE_LENGTH) };
}
