import { DesiredState, FENCE_GRACE_MS, PullPolicy, TaskState, type TaskStatus } from "@berth/proto";
import { isAlive, type ObservedContainer } from "../docker/observed-container.js";
import { endpointBody, missingNetwork, networkRefusal, networkWait } from "../networks/task-networks.js";
import { unsupportedReason } from "./api-requirements.js";
import { containerConfig } from "./container-config.js";
import { policyRefusal } from "./policy-refusal.js";
import { readinessTargets } from "./readiness.js";
import { isFinal, shouldRun, statusOf, unhealthyMessage } from "./status.js";
import type { Decision } from "./step.js";
import { containerName } from "./task-names.js";
import type { Assignment, TaskView } from "./task-view.js";

/** An unhealthy container may recover for this long. Short enough that a stuck replica is replaced soon. */
export const UNHEALTHY_GRACE_MS = 30_000;

const FENCED_REASON = "no contact with the leader, and at most one instance of this task may run";

export interface Reconciled extends Decision {
  /** The task's current status. Undefined when there is nothing to report. */
  readonly status: TaskStatus | undefined;
}

/**
 * Decides the next step of one task and its status. Level-triggered: the result depends on the observed state alone, so
 * the function may be called at any time except while a step of the task is in flight.
 */
export function reconcile(observed: TaskView, nowMs: number): Reconciled {
  const [container, surplus] = selectContainer(observed);
  const view = container === undefined ? withRejection(observed) : observed;
  const status = statusOf(view, container);
  if (surplus !== undefined) return { status, ...removal(surplus, "a second container of this task") };
  return { status, ...decide({ ...view, status }, container, nowMs) };
}

/** Returns the view with the rejections added that are known without a request to Docker. */
function withRejection(view: TaskView): TaskView {
  const { assignment, memory } = view;
  if (assignment === undefined || memory.rejection !== "") return view;
  const { spec } = assignment;
  const rejection =
    unsupportedReason(spec, view.node.engineApiVersion) ??
    policyRefusal(assignment, view.policy, view.node) ??
    imageMissing(view) ??
    networkRefusal(spec, view.networks);
  return rejection === "" ? view : { ...view, memory: { ...memory, rejection } };
}

function imageMissing({ assignment, image }: TaskView): string | undefined {
  const container = assignment?.spec.task?.container;
  if (container?.pullPolicy !== PullPolicy.NEVER || image.state !== "absent") return undefined;
  return `image ${container.image} is not on this node and its pull policy is "never"`;
}

/** Returns the task's container and, if there are several, one to remove. The container with the right name is kept. */
function selectContainer(
  view: TaskView,
): readonly [ObservedContainer | undefined, ObservedContainer | undefined] {
  const [first, ...others] = view.containers;
  if (others.length === 0) return [first, undefined];
  const name = view.assignment && containerName(view.assignment.task, view.node.nodeId);
  const kept = view.containers.find((container) => container.name === name) ?? first;
  return [kept, view.containers.find((container) => container !== kept)];
}

function decide(view: TaskView, container: ObservedContainer | undefined, nowMs: number): Decision {
  const { assignment, status, memory } = view;
  if (memory.retry !== undefined && memory.retry.notBeforeMs > nowMs) {
    return { requeueAtMs: memory.retry.notBeforeMs };
  }
  const fencing = fencingDecision(view, container);
  if (fencing !== undefined) return fencing;
  if (assignment === undefined) {
    return container === undefined ? { isGone: true } : removal(container, "not assigned to this node");
  }
  const { desiredState } = assignment.task;
  if (desiredState === DesiredState.REMOVE) {
    return container === undefined ? { isGone: true } : removal(container, "desired state is remove");
  }
  if (!shouldRun(desiredState)) return stopIfAlive(container, "desired state is shutdown");
  if (isFinal(status)) return stopIfAlive(container, "the task has ended");
  if (container === undefined) return nextTowardContainer(view, assignment);
  if (container.state === "created") return nextTowardStart(view, assignment, container);
  return probeDecision(view, container, nowMs) ?? healthDecision(view, container, nowMs);
}

/**
 * Stops an at-most-one task on a fenced node, and starts none. Returns undefined for all other tasks: they continue as
 * last assigned.
 */
function fencingDecision(view: TaskView, container: ObservedContainer | undefined): Decision | undefined {
  if (!view.isFenced || !(view.assignment?.task.atMostOne || container?.atMostOne)) return undefined;
  if (container === undefined || !isAlive(container)) return {};
  return {
    step: { kind: "stop", containerId: container.id, graceMs: FENCE_GRACE_MS, failure: FENCED_REASON },
    reason: FENCED_REASON,
  };
}

/**
 * Returns the next probe of the task's ports. Undefined unless the task waits for them: a running task is not probed.
 */
function probeDecision(view: TaskView, container: ObservedContainer, nowMs: number): Decision | undefined {
  const targets = readinessTargets(view, container);
  if (view.status?.state !== TaskState.STARTING || targets === undefined) return undefined;
  const { portProbe } = view.memory;
  if (portProbe?.containerId === container.id && portProbe.nextMs > nowMs) {
    return { requeueAtMs: portProbe.nextMs };
  }
  const step = { kind: "probe-ports", containerId: container.id, ...targets } as const;
  return { step, reason: "readiness of its ports is unknown" };
}

/** Returns the steps that end in the removal of the container: a stop first if it is alive. */
function removal(container: ObservedContainer, reason: string): Decision {
  if (isAlive(container)) return stopIfAlive(container, reason);
  return { step: { kind: "remove", containerId: container.id }, reason };
}

function stopIfAlive(container: ObservedContainer | undefined, reason: string): Decision {
  if (container === undefined || !isAlive(container)) return {};
  const { id, stopGraceMs } = container;
  return { step: { kind: "stop", containerId: id, graceMs: stopGraceMs, failure: "" }, reason };
}

/** Returns the next step toward a container: first the image, then the container. */
function nextTowardContainer(view: TaskView, { task, spec, receivedAtMs }: Assignment): Decision {
  const container = spec.task?.container;
  // The task is rejected already: its spec has nothing to run.
  if (container === undefined) return {};
  const { image, platform, pullPolicy } = container;
  const isPullDue = pullPolicy === PullPolicy.ALWAYS && view.image.pullBeganAtMs < receivedAtMs;
  if (isPullDue || view.image.state === "absent") {
    return { step: { kind: "pull", image, platform }, reason: `image is ${view.image.state}` };
  }
  if (view.image.state === "unknown") {
    return { step: { kind: "check-image", image }, reason: "presence of the image is unknown" };
  }
  if (networkWait(spec, view.networks) !== "") return {};
  const config = containerConfig({ task, spec, container, node: view.node, networks: view.networks });
  return { step: { kind: "create", taskId: task.id, config }, reason: "no container" };
}

/** Returns the next step toward a start. All networks are joined first: none must appear while the program runs. */
function nextTowardStart(view: TaskView, { spec }: Assignment, container: ObservedContainer): Decision {
  if (networkWait(spec, view.networks) !== "") return {};
  const missing = missingNetwork(spec, container, view.networks);
  if (missing === undefined) {
    return { step: { kind: "start", containerId: container.id }, reason: "container is created" };
  }
  const { network } = missing;
  const endpoint = endpointBody(spec, missing, {
    networks: view.networks,
    engineApiVersion: view.node.engineApiVersion,
  });
  return {
    step: { kind: "connect", containerId: container.id, network, endpoint },
    reason: `not in network ${network} yet`,
  };
}

/** Stops a container that stayed unhealthy for too long. */
function healthDecision(view: TaskView, container: ObservedContainer, nowMs: number): Decision {
  const { unhealthySinceMs } = view.memory;
  if (container.health !== "unhealthy" || unhealthySinceMs === 0) return {};
  const graceEndsMs = unhealthySinceMs + UNHEALTHY_GRACE_MS;
  if (nowMs < graceEndsMs) return { requeueAtMs: graceEndsMs };
  const failing = `stayed ${unhealthyMessage(container)} for ${UNHEALTHY_GRACE_MS / 1_000} s`;
  const { id, stopGraceMs } = container;
  return { step: { kind: "stop", containerId: id, graceMs: stopGraceMs, failure: failing }, reason: failing };
}
