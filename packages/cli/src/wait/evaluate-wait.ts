import { currentTasks, hasFailed, isConverged, type Progress, type ServiceProgress } from "./progress.js";

/** What a wait does next. */
export type WaitVerdict =
  | { readonly kind: "done" }
  /** A service has failed, or some slots fail again and again. */
  | { readonly kind: "hopeless" }
  /** Nothing to decide before that time, unless there is news. */
  | { readonly kind: "wait"; readonly untilMs: number | undefined };

/** A program with a mistake in its settings ends within this time of its start. */
const HOLD_MS = 500;
/** Where something failed on the way, it must run longer to be believed. */
const HOLD_AFTER_FAILURE_MS = 5_000;
/** The other slots' reasons are worth the wait: all are shown at once. */
const GIVE_UP_AFTER_MS = 3_000;

export function evaluateWait(progress: Progress, nowMs: number): WaitVerdict {
  const { convergedSinceMs: settledSinceMs, failedSinceMs: hopelessSinceMs } = progress;
  if (settledSinceMs !== undefined) {
    const untilMs = settledSinceMs + holdMs([...progress.services.values()]);
    return nowMs >= untilMs ? { kind: "done" } : { kind: "wait", untilMs };
  }
  if (hopelessSinceMs === undefined) return { kind: "wait", untilMs: undefined };
  const isAllOver = [...progress.services.values()].every(
    (service) => isConverged(service) || hasFailed(service),
  );
  if (isAllOver) return { kind: "hopeless" };
  const untilMs = hopelessSinceMs + GIVE_UP_AFTER_MS;
  return nowMs >= untilMs ? { kind: "hopeless" } : { kind: "wait", untilMs };
}

/** How long everything must stay well. Nothing to hold when it is gone, or when its own check says that it works. */
function holdMs(services: readonly ServiceProgress[]): number {
  const alive = services.filter(({ watched }) => watched?.removed === false);
  const failed = alive.some(
    (service) => service.failures.size > 0 || currentTasks(service).some(({ restarts }) => restarts > 0),
  );
  if (failed) return HOLD_AFTER_FAILURE_MS;
  return alive.some((service) => currentTasks(service).length > 0 && !hasHealthcheck(service)) ? HOLD_MS : 0;
}

function hasHealthcheck({ watched }: ServiceProgress): boolean {
  const test = watched?.summary?.service?.spec?.task?.container?.healthcheck?.test ?? [];
  return test.length > 0 && test[0] !== "NONE";
}
