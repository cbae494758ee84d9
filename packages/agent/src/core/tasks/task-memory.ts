import { isAlive, type ObservedContainer } from "../docker/observed-container.js";
import { afterProbe } from "./readiness.js";
import type { Step } from "./step.js";
import { BLANK_MEMORY, type Retry, type TaskMemory } from "./task-view.js";

/** What a step came to, as a fact about the task. */
export type StepOutcome =
  /** The container as it is after the step. */
  | { readonly kind: "observed"; readonly container: ObservedContainer }
  | { readonly kind: "gone"; readonly containerId: string }
  /** Its ports were tried: those that refuse. */
  | { readonly kind: "knocked"; readonly containerId: string; readonly refused: readonly number[] }
  /** It is about the image, which is remembered elsewhere. */
  | { readonly kind: "image-known" }
  /** Docker would say the same tomorrow. */
  | { readonly kind: "rejected"; readonly reason: string }
  /** It failed and may go well the next time. */
  | { readonly kind: "failed"; readonly reason: string }
  /** The daemon is away: nobody knows what came of the step. */
  | { readonly kind: "unknown"; readonly reason: string }
  /** Called off before it began to matter. */
  | { readonly kind: "cancelled" };

/** A daemon's own trouble (a lock, a full queue) passes within seconds or not at all. */
const MAX_ATTEMPTS = 4;
const RETRY_BASE_MS = 250;
const RETRY_MAX_MS = 30_000;

/** What the task's memory holds after a step. */
export function applyOutcome(
  memory: TaskMemory,
  { step, outcome, nowMs }: { step: Step; outcome: StepOutcome; nowMs: number },
): TaskMemory {
  switch (outcome.kind) {
    case "observed":
      return applyObservation({ ...memory, retry: undefined }, outcome.container, nowMs);
    case "gone":
    case "image-known":
      return { ...memory, retry: undefined, pulledPercent: undefined };
    case "knocked":
      return { ...memory, portProbe: afterProbe(memory.portProbe, outcome, nowMs) };
    case "rejected":
      return { ...memory, retry: undefined, rejection: outcome.reason };
    case "failed":
      return afterFailure(memory, { step, reason: outcome.reason, nowMs });
    case "unknown":
      return { ...memory, retry: nextRetry(memory.retry, outcome.reason, nowMs) };
    case "cancelled":
      return memory;
  }
}

/** What the task's memory holds after its container was looked at. */
export function applyObservation(
  memory: TaskMemory,
  container: ObservedContainer,
  nowMs: number,
): TaskMemory {
  const isUnhealthy = container.health === "unhealthy" && container.state === "running";
  const unhealthySinceMs = isUnhealthy ? memory.unhealthySinceMs || nowMs : 0;
  const unwatched = memory.wasUnobserved && !isAlive(container);
  const endedProcessId = hasEnded(container, memory) ? memory.endedProcessId : 0;
  return { ...memory, containerId: container.id, unhealthySinceMs, wasUnobserved: unwatched, endedProcessId };
}

/** Docker has it running, but its process is known to have ended. */
export function hasEnded(container: ObservedContainer, { endedProcessId }: TaskMemory): boolean {
  return endedProcessId !== 0 && isAlive(container) && container.processId === endedProcessId;
}

/** What an agent that has just started knows of a task whose last status it finds on disk. */
export function restoredMemory(containerId: string): TaskMemory {
  return { ...BLANK_MEMORY, containerId };
}

/** A container that does not stop or go away is tried for ever; one that does not start is given up. */
function afterFailure(
  memory: TaskMemory,
  { step, reason, nowMs }: { step: Step; reason: string; nowMs: number },
): TaskMemory {
  const retry = nextRetry(memory.retry, reason, nowMs);
  const mayGiveUp = step.kind !== "stop" && step.kind !== "remove";
  if (mayGiveUp && retry.attempts >= MAX_ATTEMPTS) {
    return { ...memory, retry: undefined, rejection: `${reason} (tried ${retry.attempts} times)` };
  }
  return { ...memory, retry };
}

function nextRetry(last: Retry | undefined, reason: string, nowMs: number): Retry {
  const attempts = (last?.attempts ?? 0) + 1;
  const delayMs = Math.min(RETRY_BASE_MS * 2 ** (attempts - 1), RETRY_MAX_MS);
  return { attempts, notBeforeMs: nowMs + delayMs, reason };
}
