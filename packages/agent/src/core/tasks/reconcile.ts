import { DesiredState, PullPolicy, TaskState, type TaskStatus } from "@berth/proto";
import { isAlive, type ObservedContainer } from "../docker/observed-container.js";
import { endpointBody, missingNetwork, networkRefusal, networkWait } from "../networks/task-networks.js";
import { unsupportedReason } from "./api-needs.js";
import { containerConfig } from "./container-config.js";
import { fencingDecision } from "./fencing.js";
import { readinessTargets } from "./readiness.js";
import { isFinal, isWanted, statusOf, unhealthyMessage } from "./status.js";
import type { Decision } from "./step.js";
import { containerName } from "./task-name.js";
import type { Assignment, TaskView } from "./task-view.js";

/** Long enough to get well again by itself, short enough that a stuck replica does not stay for long. */
export const UNHEALTHY_GRACE_MS = 30_000;

export interface Reconciled extends Decision {
  /** The task's status now; undefined while the leader knows all there is. */
  readonly status: TaskStatus | undefined;
}

/**
 * What to do next about one task, and what to say of it. Level-triggered: it depends on what is, not on how it came
 * about, so it may be asked at any time. One step at a time; it must not be asked while a step of the task is under way.
 */
export function reconcile(asked: TaskView, nowMs: number): Reconciled {
  const [container, surplus] = ownContainer(asked);
  const view = container === undefined ? withRejection(asked) : asked;
  const status = statusOf(view, container);
  if (surplus !== undefined)
    return { status, ...removal(surplus, "a second container with this task's label") };
  return { status, ...decide({ ...view, status }, container, nowMs) };
}

/** Adds to what Docker refused what is known without asking it. */
function withRejection(view: TaskView): TaskView {
  const { assignment, memory } = view;
  if (assignment === undefined || memory.rejection !== "") return view;
  const { spec } = assignment;
  const rejection =
    unsupportedReason(spec, view.node.engineApiVersion) ??
    imageMissing(view) ??
    networkRefusal(spec, view.networks);
  return rejection === "" ? view : { ...view, memory: { ...memory, rejection } };
}

function imageMissing({ assignment, image }: TaskView): string | undefined {
  const container = assignment?.spec.task?.container;
  if (container?.pullPolicy !== PullPolicy.NEVER || image.state !== "absent") return undefined;
  return `image ${container.image} is not on this node and its pull policy is "never"`;
}

/** The container that is the task's, and one that must go when there are several: the one with the right name stays. */
function ownContainer(
  view: TaskView,
): readonly [ObservedContainer | undefined, ObservedContainer | undefined] {
  const [first, ...others] = view.containers;
  if (others.length === 0) return [first, undefined];
  const name = view.assignment && containerName(view.assignment.task, view.node.nodeId);
  const own = view.containers.find((container) => container.name === name) ?? first;
  return [own, view.containers.find((container) => container !== own)];
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
    return container === undefined ? { isGone: true } : removal(container, "the leader wants it removed");
  }
  if (!isWanted(desiredState)) return stopIfAlive(container, "the leader wants it stopped");
  if (isFinal(status)) return stopIfAlive(container, "the task has ended");
  if (container === undefined) return towardsContainer(view, assignment);
  if (container.state === "created") return towardsStart(view, assignment, container);
  return probePorts(view, container, nowMs) ?? watchHealth(view, container, nowMs);
}

/** Undefined: the task does not wait for its ports. Once it runs, nobody asks any more. */
function probePorts(view: TaskView, container: ObservedContainer, nowMs: number): Decision | undefined {
  const doors = readinessTargets(view, container);
  if (view.status?.state !== TaskState.STARTING || doors === undefined) return undefined;
  const { portProbe: portWatch } = view.memory;
  if (portWatch?.containerId === container.id && portWatch.nextMs > nowMs) {
    return { requeueAtMs: portWatch.nextMs };
  }
  const step = { kind: "knock", containerId: container.id, ...doors } as const;
  return { step, reason: "do its ports accept connections" };
}

function removal(container: ObservedContainer, reason: string): Decision {
  if (isAlive(container)) return stopIfAlive(container, reason);
  return { step: { kind: "remove", containerId: container.id }, reason };
}

function stopIfAlive(container: ObservedContainer | undefined, reason: string): Decision {
  if (container === undefined || !isAlive(container)) return {};
  const { id, stopGraceMs } = container;
  return { step: { kind: "stop", containerId: id, graceMs: stopGraceMs, failing: "" }, reason };
}

/** First the image, then the container. */
function towardsContainer(view: TaskView, { task, spec, receivedAtMs }: Assignment): Decision {
  const container = spec.task?.container;
  // Rejected already: there is nothing to run.
  if (container === undefined) return {};
  const { image, platform, pullPolicy } = container;
  const isPullDue = pullPolicy === PullPolicy.ALWAYS && view.image.pullBeganAtMs < receivedAtMs;
  if (isPullDue || view.image.state === "absent") {
    return { step: { kind: "pull", image, platform }, reason: `pull policy, image ${view.image.state}` };
  }
  if (view.image.state === "unknown") {
    return { step: { kind: "check-image", image }, reason: "not known whether the image is here" };
  }
  if (networkWait(spec, view.networks) !== "") return {};
  const config = containerConfig({ task, spec, container, node: view.node, networks: view.networks });
  return { step: { kind: "create", taskId: task.id, config }, reason: "no container" };
}

/** First into all of its networks: one that joins while the program runs would come too late for it. */
function towardsStart(view: TaskView, { spec }: Assignment, container: ObservedContainer): Decision {
  if (networkWait(spec, view.networks) !== "") return {};
  const missing = missingNetwork(spec, container, view.networks);
  if (missing === undefined) {
    return { step: { kind: "start", containerId: container.id }, reason: "created" };
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

function watchHealth(view: TaskView, container: ObservedContainer, nowMs: number): Decision {
  const { unhealthySinceMs } = view.memory;
  if (container.health !== "unhealthy" || unhealthySinceMs === 0) return {};
  const patienceEndsMs = unhealthySinceMs + UNHEALTHY_GRACE_MS;
  if (nowMs < patienceEndsMs) return { requeueAtMs: patienceEndsMs };
  const failing = `stayed ${unhealthyMessage(container)} for ${UNHEALTHY_GRACE_MS / 1_000} s`;
  const { id, stopGraceMs } = container;
  return { step: { kind: "stop", containerId: id, graceMs: stopGraceMs, failing }, reason: failing };
}
