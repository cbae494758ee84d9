import { assertNever, type ErrorCode } from "@berth/proto";
import { isAlive, type ObservedContainer } from "../docker/observed-container.js";
import { afterHooks, failedHooks, type HookMemory, NO_HOOKS } from "./hooks.js";
import { afterProbe, type PortProbe } from "./readiness.js";
import { afterStartCheck, type StartCheck } from "./start-check.js";
import type { Step, StepOutcome } from "./step.js";
import type { TaskFilesState } from "./task-files.js";

/** Facts about a task that Docker does not record. */
export interface TaskMemory {
  /** The task's current or last container. Empty before the first one. */
  readonly containerId: string;
  /** When the container became unhealthy, or 0 while it is healthy. */
  readonly unhealthySinceMs: number;
  /** Why the agent stops a task that should be running. Empty otherwise. */
  readonly failure: string;
  /** A terminating signal that was sent to the container outside berth. Empty if there was none. */
  readonly externalSignal: string;
  /** True if Docker became unavailable after the container was last seen alive, so its end was not observed. */
  readonly wasUnobserved: boolean;
  /**
   * The container's main process, if it has ended although Docker still reports the container as running: the daemon
   * may be busy or unavailable. 0 otherwise.
   */
  readonly endedProcessId: number;
  /** Why this node can never run the task. Empty if it can. */
  readonly rejection: string;
  /** The code of the rejection, if it has one. */
  readonly rejectionCode: ErrorCode | undefined;
  readonly retry: Retry | undefined;
  /** Progress of the pull in percent. Undefined while unknown. */
  readonly pulledPercent: number | undefined;
  /** Readiness of a container without a healthcheck. Undefined before the first probe. */
  readonly portProbe: PortProbe | undefined;
  /** The health checks of a container that starts. Undefined before the first. */
  readonly startCheck: StartCheck | undefined;
  readonly hooks: HookMemory;
  /** The task's secrets and configs on this host. */
  readonly files: TaskFilesState;
  /** The copies of its shipped mounts on this host. */
  readonly shipped: TaskFilesState;
  /** When its container was first seen before its start, or 0. */
  readonly createdAtMs: number;
  /** Whether a client has attached to the task's container. */
  readonly isAttached: boolean;
}

/** The retry of a step that failed for a transient reason. */
export interface Retry {
  readonly step: Step["kind"];
  readonly attempts: number;
  readonly notBeforeMs: number;
  readonly reason: string;
}

export const BLANK_MEMORY: TaskMemory = {
  containerId: "",
  unhealthySinceMs: 0,
  failure: "",
  externalSignal: "",
  wasUnobserved: false,
  endedProcessId: 0,
  rejection: "",
  rejectionCode: undefined,
  retry: undefined,
  pulledPercent: undefined,
  portProbe: undefined,
  startCheck: undefined,
  hooks: NO_HOOKS,
  files: "none",
  shipped: "none",
  createdAtMs: 0,
  isAttached: false,
};

/**
 * Maximum number of attempts of a failing step. A problem in the daemon itself, such as a held lock, disappears within
 * seconds or not at all.
 */
const MAX_ATTEMPTS = 4;
/** Delay before the first retry of a failed step. It doubles with each retry. */
const RETRY_BASE_MS = 250;
/** Maximum delay before a retry. */
const RETRY_MAX_MS = 30_000;

/** Returns the memory of a task whose last status was restored from disk. */
export function restoredMemory(containerId: string): TaskMemory {
  return { ...BLANK_MEMORY, containerId };
}

/** Returns the memory after a step. */
export function applyOutcome(
  before: TaskMemory,
  { step, outcome, nowMs }: { step: Step; outcome: StepOutcome; nowMs: number },
): TaskMemory {
  const memory = withBegunFiles(before, step);
  switch (outcome.kind) {
    case "observed":
      return applyObservation({ ...memory, retry: undefined }, outcome.container, nowMs);
    case "gone":
    case "image-known":
      return { ...memory, retry: undefined, pulledPercent: undefined };
    case "files-written":
      return { ...memory, retry: undefined, files: "written" };
    case "shipped-written":
      return { ...memory, retry: undefined, shipped: "written" };
    case "files-removed":
      return { ...memory, retry: undefined, files: "none", shipped: "none" };
    case "ports-probed":
      return { ...memory, portProbe: afterProbe(memory.portProbe, outcome, nowMs) };
    case "health-checked":
      return { ...memory, startCheck: afterStartCheck(memory.startCheck, outcome, nowMs) };
    case "hooks-run":
      return { ...memory, retry: undefined, hooks: afterHooks(memory.hooks, outcome) };
    case "rejected":
      if (step.kind === "post-start" || step.kind === "pre-stop") {
        return {
          ...memory,
          retry: undefined,
          hooks: afterHooks(memory.hooks, failedHooks(step, outcome.reason)),
        };
      }
      return {
        ...memory,
        retry: undefined,
        rejection: outcome.reason,
        rejectionCode: outcome.errorCode,
      };
    case "failed":
      return afterFailure(memory, { step, reason: outcome.reason, nowMs });
    case "unknown": {
      // The container may have started, and may have ended with the daemon.
      const wasUnobserved = memory.wasUnobserved || step.kind === "start";
      return { ...memory, wasUnobserved, retry: nextRetry(memory.retry, step, outcome.reason, nowMs) };
    }
    case "canceled":
      return memory;
    default:
      return assertNever(outcome);
  }
}

/** A failed step may have written some of the files. */
function withBegunFiles(memory: TaskMemory, { kind }: Step): TaskMemory {
  if (kind === "write-files") return { ...memory, files: "unverified" };
  return kind === "write-shipped" ? { ...memory, shipped: "unverified" } : memory;
}

/** Returns the memory after the container was inspected. */
export function applyObservation(
  memory: TaskMemory,
  container: ObservedContainer,
  nowMs: number,
): TaskMemory {
  const isUnhealthy = container.health === "unhealthy" && container.state === "running";
  const unhealthySinceMs = isUnhealthy ? memory.unhealthySinceMs || nowMs : 0;
  const mayHaveEndedUnobserved = !isAlive(container) && container.state !== "created";
  const wasUnobserved = memory.wasUnobserved && mayHaveEndedUnobserved;
  const endedProcessId = hasEnded(container, memory) ? memory.endedProcessId : 0;
  const createdAtMs = memory.createdAtMs || (container.state === "created" ? nowMs : 0);
  return {
    ...memory,
    containerId: container.id,
    unhealthySinceMs,
    wasUnobserved,
    endedProcessId,
    createdAtMs,
  };
}

/** Returns whether Docker reports the container as running although its process has ended. */
export function hasEnded(container: ObservedContainer, { endedProcessId }: TaskMemory): boolean {
  return endedProcessId !== 0 && isAlive(container) && container.processId === endedProcessId;
}

/**
 * Schedules a retry. Stops and removals are retried without limit; a task whose container does not start is rejected.
 */
function afterFailure(
  memory: TaskMemory,
  { step, reason, nowMs }: { step: Step; reason: string; nowMs: number },
): TaskMemory {
  const retry = nextRetry(memory.retry, step, reason, nowMs);
  const mayGiveUp = step.kind !== "stop" && step.kind !== "remove" && step.kind !== "remove-files";
  if (mayGiveUp && retry.attempts >= MAX_ATTEMPTS) {
    const rejection = `${reason} (tried ${retry.attempts} times)`;
    return step.kind === "post-start" || step.kind === "pre-stop"
      ? { ...memory, retry: undefined, hooks: afterHooks(memory.hooks, failedHooks(step, rejection)) }
      : { ...memory, retry: undefined, rejection };
  }
  return { ...memory, retry };
}

function nextRetry(last: Retry | undefined, { kind }: Step, reason: string, nowMs: number): Retry {
  const attempts = (last?.attempts ?? 0) + 1;
  const delayMs = Math.min(RETRY_BASE_MS * 2 ** (attempts - 1), RETRY_MAX_MS);
  return { step: kind, attempts, notBeforeMs: nowMs + delayMs, reason };
}
