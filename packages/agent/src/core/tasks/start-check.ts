import type { ContainerHealth, ObservedContainer } from "../docker/observed-container.js";
import type { Decision } from "./step.js";
import type { TaskMemory } from "./task-memory.js";
import type { TaskView } from "./task-view.js";

/**
 * Time from the first check to the second, unless the spec sets `start_interval`. Many programs need 0.2 to 0.5 s to
 * start.
 */
export const FIRST_INTERVAL_MS = 100;
/**
 * Default maximum interval between health checks of a starting container. The interval doubles with each check up to
 * this value.
 */
export const DEFAULT_START_INTERVAL_MS = 500;
/** Time after which a starting container is checked less frequently, because each check starts a process. */
export const FREQUENT_CHECKS_MS = 10_000;
/** Interval between later health checks of a starting container: Docker's default for `start_interval`. */
export const SLOW_INTERVAL_MS = 5_000;

/** The outcome of a health check that the agent ran. */
export type CheckResult = "passed" | "failed" | "timeout";

/** A health check that the agent runs in a container. */
export interface HealthCheck {
  readonly containerId: string;
  readonly processId: number;
  readonly command: readonly string[];
  readonly timeoutMs: number;
  /** Time until the next check, or 0 for the default. */
  readonly intervalMs: number;
}

/** The result of a health check. */
export interface CheckedHealth extends Pick<HealthCheck, "containerId" | "processId" | "intervalMs"> {
  readonly result: CheckResult;
}

/** The agent's health checks of a starting container. */
export interface StartCheck {
  readonly containerId: string;
  /** The container's main process: a restarted container is checked again. */
  readonly processId: number;
  readonly sinceMs: number;
  /** When the next check is due. */
  readonly nextMs: number;
  /** Number of checks so far. */
  readonly checks: number;
  readonly hasPassed: boolean;
  /** Whether no further check follows. */
  readonly isOver: boolean;
}

/**
 * Returns the next health check of a starting container. Docker runs the first check after a whole interval, 30 s by
 * default, and only Docker 25 and later can check more often during the start (decision 132). Undefined if Docker has a
 * result, or if no further check is needed.
 */
export function startCheckDecision(
  { memory, assignment }: TaskView,
  container: ObservedContainer,
  nowMs: number,
): Decision | undefined {
  const { id: containerId, processId, healthcheck } = container;
  if (container.health !== "starting" || container.state !== "running" || healthcheck === undefined) {
    return undefined;
  }
  const check = checkOf(memory, container);
  if (check?.isOver) return undefined;
  if (check !== undefined && check.nextMs > nowMs) return { requeueAtMs: check.nextMs };
  const intervalMs = assignment?.spec.task?.container?.healthcheck?.startIntervalMs ?? 0;
  const step = { kind: "check-health", containerId, processId, intervalMs, ...healthcheck } as const;
  return { step, reason: "the health of the container is not known yet" };
}

/** Returns the state after a check. */
export function afterStartCheck(
  before: StartCheck | undefined,
  { containerId, processId, result, intervalMs }: CheckedHealth,
  nowMs: number,
): StartCheck {
  const isKnown = before?.containerId === containerId && before.processId === processId;
  const sinceMs = isKnown ? before.sinceMs : nowMs;
  const checks = isKnown ? before.checks + 1 : 1;
  const delayMs = intervalMs || defaultIntervalMs(checks, nowMs - sinceMs);
  return {
    containerId,
    processId,
    sinceMs,
    checks,
    nextMs: nowMs + delayMs,
    hasPassed: result === "passed",
    // Unlike Docker, the agent cannot end a hanging check, so it starts no further ones.
    isOver: result !== "failed",
  };
}

/** Returns the time until the next check when the spec sets none. */
function defaultIntervalMs(checks: number, elapsedMs: number): number {
  if (elapsedMs >= FREQUENT_CHECKS_MS) return SLOW_INTERVAL_MS;
  return Math.min(FIRST_INTERVAL_MS * 2 ** (checks - 1), DEFAULT_START_INTERVAL_MS);
}

/** Returns a container's health. The agent's own check counts until Docker has a result. */
export function healthOf(memory: TaskMemory, container: ObservedContainer): ContainerHealth {
  const hasPassed = checkOf(memory, container)?.hasPassed ?? false;
  return container.health === "starting" && hasPassed ? "healthy" : container.health;
}

function checkOf({ startCheck }: TaskMemory, { id, processId }: ObservedContainer): StartCheck | undefined {
  return startCheck?.containerId === id && startCheck.processId === processId ? startCheck : undefined;
}
