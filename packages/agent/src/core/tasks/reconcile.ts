import {
  DesiredState,
  FENCE_GRACE_MS,
  imageReference,
  PullPolicy,
  TaskState,
  type TaskStatus,
} from "@berth/proto";
import { isAlive, type ObservedContainer } from "../docker/observed-container.js";
import { endpointBody, missingNetwork, networkRefusal, networkWait } from "../networks/task-networks.js";
import { unsupportedReason } from "./api-requirements.js";
import { containerConfig } from "./container-config.js";
import { selectResources } from "./generic-resources.js";
import { isStopping, postStartFailure, postStartStep, stopDecision } from "./hooks.js";
import { ownerFailure, ownerRefusal, ownerWait } from "./owner-containers.js";
import { policyRefusal } from "./policy-refusal.js";
import { readinessTargets } from "./readiness.js";
import { shippedRefusal, shippedToWrite } from "./shipped-mounts.js";
import { startCheckDecision } from "./start-check.js";
import { isFinal, shouldRun, statusOf, unhealthyMessage } from "./status.js";
import type { Decision } from "./step.js";
import { fileRefusal, filesToWrite, fileWait } from "./task-files.js";
import { containerName } from "./task-names.js";
import type { Assignment, TaskView } from "./task-view.js";

/** How long an unhealthy container has to recover. Short, so that a stuck replica is replaced soon. */
export const UNHEALTHY_GRACE_MS = 30_000;

/** How often a waiting task checks whether other tasks have released the resources that it needs. */
const RESOURCE_POLL_MS = 500;

/** How long a container waits for the client that its spec requires. The client connects while the image is pulled. */
const ATTACH_TIMEOUT_MS = 30_000;

/** The decision to wait for a change of the observed state. */
const NO_STEP: Decision = {};

const FENCED_REASON = "no contact with the leader, and at most one instance of this task may run";

export interface Reconciled extends Decision {
  /** The task's current status. Undefined if there is nothing to report. */
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
  if (surplus !== undefined) {
    // Only the container that stays counts as the task's.
    const unassigned = { ...view, assignment: undefined };
    return { status, ...removal(unassigned, surplus, "a second container of this task") };
  }
  return { status, ...decide({ ...view, status }, container, nowMs) };
}

/** Returns the view with a rejection, if one follows from the view alone. */
function withRejection(view: TaskView): TaskView {
  const { assignment, memory } = view;
  if (assignment === undefined || memory.rejection !== "") return view;
  const { spec } = assignment;
  const rejection =
    unsupportedReason(spec, view.node.engineApiVersion) ??
    policyRefusal(assignment, view.policy, view.node) ??
    ownerRefusal(view) ??
    fileRefusal(assignment, view) ??
    shippedRefusal(assignment, view) ??
    missingImageRefusal(view) ??
    networkRefusal(spec, view.networks);
  return rejection === "" ? view : { ...view, memory: { ...memory, rejection } };
}

/** Returns why a task that must not pull its image cannot run without it. Undefined if it can run. */
function missingImageRefusal({ assignment, image }: TaskView): string | undefined {
  const container = assignment?.spec.task?.container;
  if (container?.pullPolicy !== PullPolicy.NEVER || image.state !== "absent") return undefined;
  return `image ${imageReference(container)} is not on this node and its pull policy is "never"`;
}

/**
 * Returns the task's container and, if there are several, one to remove. Keeps the container with the expected name.
 */
function selectContainer(
  view: TaskView,
): readonly [ObservedContainer | undefined, ObservedContainer | undefined] {
  const [first, ...others] = view.containers;
  if (others.length === 0) return [first, undefined];
  const name = view.assignment && containerName(view.assignment.task, view.node.nodeId);
  const taskContainer = view.containers.find((container) => container.name === name) ?? first;
  return [taskContainer, view.containers.find((container) => container !== taskContainer)];
}

function decide(view: TaskView, container: ObservedContainer | undefined, nowMs: number): Decision {
  const { assignment, status, memory } = view;
  const retry = memory.retry !== undefined && memory.retry.notBeforeMs > nowMs ? memory.retry : undefined;
  // The retry of another step must not delay the stop of a fenced task.
  const fencing = retry?.step === "stop" ? undefined : fencingDecision(view, container);
  if (fencing !== undefined) return fencing;
  if (retry !== undefined) return { requeueAtMs: retry.notBeforeMs };
  if (assignment === undefined) {
    return removal(view, container, "not assigned to this node");
  }
  const { desiredState } = assignment.task;
  if (desiredState === DesiredState.REMOVE) {
    return removal(view, container, "desired state is remove");
  }
  if (!shouldRun(desiredState)) return endedDecision(view, container, "desired state is shutdown");
  if (isFinal(status)) return endedDecision(view, container, "the task has ended");
  if (container === undefined) return nextCreationStep(view, assignment, nowMs);
  if (container.state === "created") {
    return attachDecision(view, assignment, nowMs) ?? nextStartStep(view, assignment, container);
  }
  if (isStopping(view, container)) return stopAsFailed(view, container, memory.failure);
  const lostOwner = ownerFailure(view, container);
  if (lostOwner !== undefined) return stopAsFailed(view, container, lostOwner);
  return (
    postStartDecision(view, container) ??
    probeDecision(view, container, nowMs) ??
    startCheckDecision(view, container, nowMs) ??
    healthDecision(view, container, nowMs)
  );
}

/**
 * Stops an at-most-one task on a fenced node, and starts none. Returns undefined for all other tasks: they continue as
 * last assigned.
 */
function fencingDecision(view: TaskView, container: ObservedContainer | undefined): Decision | undefined {
  if (!view.isFenced || !(view.assignment?.task.atMostOne || container?.atMostOne)) return undefined;
  if (container === undefined || !isAlive(container)) return NO_STEP;
  return {
    step: { kind: "stop", containerId: container.id, graceMs: FENCE_GRACE_MS, failure: FENCED_REASON },
    reason: FENCED_REASON,
  };
}

/** Returns the step that runs the post_start hooks, or that stops the container if one has failed. */
function postStartDecision(view: TaskView, container: ObservedContainer): Decision | undefined {
  const failure = postStartFailure(view, container);
  if (failure !== "") return stopAsFailed(view, container, failure);
  const step = postStartStep(view, container);
  return step && { step, reason: "the container has started" };
}

/**
 * Returns the next probe of the task's ports. Undefined unless the task waits for them: a running task is not probed.
 */
function probeDecision(view: TaskView, container: ObservedContainer, nowMs: number): Decision | undefined {
  const targets = readinessTargets(view, container);
  if (view.status?.state !== TaskState.STARTING || targets === undefined) return undefined;
  const { portProbe } = view.memory;
  if (portProbe?.containerId === container.id && portProbe.nextAttemptMs > nowMs) {
    return { requeueAtMs: portProbe.nextAttemptMs };
  }
  const step = { kind: "probe-ports", containerId: container.id, ...targets } as const;
  return { step, reason: "readiness of its ports is unknown" };
}

/** Returns the next step that removes the task from this host: first its container, then its files. */
function removal(view: TaskView, container: ObservedContainer | undefined, reason: string): Decision {
  if (container === undefined) return fileRemoval(view, reason) ?? { isGone: true };
  if (isAlive(container)) return stopIfAlive(view, container, reason);
  return { step: { kind: "remove", containerId: container.id }, reason };
}

/** Returns the next step of a task that will not run again. Its files stay as long as its container. */
function endedDecision(view: TaskView, container: ObservedContainer | undefined, reason: string): Decision {
  return container === undefined
    ? (fileRemoval(view, reason) ?? NO_STEP)
    : stopIfAlive(view, container, reason);
}

function fileRemoval({ taskId, memory }: TaskView, reason: string): Decision | undefined {
  const hasNone = memory.files === "none" && memory.shipped === "none";
  return hasNone ? undefined : { step: { kind: "remove-files", taskId }, reason };
}

function stopIfAlive(view: TaskView, container: ObservedContainer, reason: string): Decision {
  return isAlive(container) ? stopDecision(view, container, { failure: "", reason }) : NO_STEP;
}

/** Returns the next step that stops a failed task. */
function stopAsFailed(view: TaskView, container: ObservedContainer, failure: string): Decision {
  return stopDecision(view, container, { failure, reason: failure });
}

/** Returns the next step toward creating the container: image, files and owners, then the container. */
function nextCreationStep(view: TaskView, assignment: Assignment, nowMs: number): Decision {
  const { task, spec, receivedAtMs } = assignment;
  const container = spec.task?.container;
  // The task is rejected already: its spec has nothing to run.
  if (container === undefined) return NO_STEP;
  const { platform, pullPolicy } = container;
  const image = imageReference(container);
  const isPullDue = pullPolicy === PullPolicy.ALWAYS && view.image.pullBeganAtMs < receivedAtMs;
  if (isPullDue || view.image.state === "absent") {
    const step = { kind: "pull", image, platform, stack: task.stack } as const;
    return { step, reason: `image is ${view.image.state}` };
  }
  if (view.image.state === "unknown") {
    return { step: { kind: "check-image", image }, reason: "it is unknown whether the image is present" };
  }
  const preparation = nextPreparation(view, assignment);
  if (preparation !== undefined) return preparation;
  const resources = selectResources(spec, view.resources);
  if (resources === undefined) return { requeueAtMs: nowMs + RESOURCE_POLL_MS };
  const { node, networks, files, owners } = view;
  const config = containerConfig({ task, spec, container, node, networks, files, owners, resources });
  return { step: { kind: "create", taskId: task.id, config }, reason: "no container" };
}

/**
 * Returns the next preparation on the host before a container is created or started, or undefined if all are done. The
 * files of a container that exists may be gone, because they do not survive a reboot.
 */
function nextPreparation(view: TaskView, assignment: Assignment): Decision | undefined {
  if (networkWait(assignment.spec, view.networks) !== "" || fileWait(view) !== "" || ownerWait(view) !== "") {
    return NO_STEP;
  }
  const files = filesToWrite(view, assignment);
  if (files !== undefined) {
    return { step: { kind: "write-files", ...files }, reason: `files are ${view.memory.files}` };
  }
  const shipped = shippedToWrite(view, assignment);
  const reason = `shipped mounts are ${view.memory.shipped}`;
  return shipped && { step: { kind: "write-shipped", ...shipped }, reason };
}

/** Returns the wait for the client that must attach before the start. Undefined if none must, or if it has attached. */
function attachDecision({ memory }: TaskView, { spec }: Assignment, nowMs: number): Decision | undefined {
  if (!spec.task?.container?.waitForAttach || memory.isAttached) return undefined;
  const deadlineMs = memory.createdAtMs + ATTACH_TIMEOUT_MS;
  if (nowMs < deadlineMs) return { requeueAtMs: deadlineMs };
  const reason = `no client attached to it within ${ATTACH_TIMEOUT_MS / 1_000} s`;
  return { step: { kind: "reject", reason }, reason };
}

/**
 * Returns the next step toward starting the container. It joins all networks first: none may appear while the program
 * is running.
 */
function nextStartStep(view: TaskView, assignment: Assignment, container: ObservedContainer): Decision {
  const { spec } = assignment;
  const preparation = nextPreparation(view, assignment);
  if (preparation !== undefined) return preparation;
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
  if (container.health !== "unhealthy" || unhealthySinceMs === 0) return NO_STEP;
  const graceEndsMs = unhealthySinceMs + UNHEALTHY_GRACE_MS;
  if (nowMs < graceEndsMs) return { requeueAtMs: graceEndsMs };
  const failure = `stayed ${unhealthyMessage(container)} for ${UNHEALTHY_GRACE_MS / 1_000} s`;
  return stopAsFailed(view, container, failure);
}
