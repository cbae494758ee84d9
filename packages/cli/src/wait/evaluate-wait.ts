import { currentTasks, hasFailed, isConverged, type Progress, type ServiceProgress } from "./progress.js";

/** The result of evaluating a wait. */
export type WaitVerdict =
  | { readonly kind: "converged" }
  /** A service has failed, or some slots keep failing. */
  | { readonly kind: "failed" }
  /** Evaluate again at `untilMs`, or with the next message. */
  | { readonly kind: "wait"; readonly untilMs: number | undefined };

/** Running time after which tasks count as stable. A program with invalid settings exits within this time. */
const STABLE_AFTER_MS = 500;
/** Running time after which tasks count as stable if one of them has failed during the wait. */
const STABLE_AFTER_FAILURE_MS = 5_000;
/** Time for which a failed wait continues, to collect the reasons of other slots and print all of them at once. */
const COLLECT_FAILURES_MS = 3_000;

/** Decides whether a wait has succeeded, has failed or continues. Called for each message of the server and each timer. */
export function evaluateWait(progress: Progress, nowMs: number): WaitVerdict {
  const { convergedSinceMs, failedSinceMs } = progress;
  const services = [...progress.services.values()];
  if (convergedSinceMs !== undefined) {
    const untilMs = convergedSinceMs + stableAfterMs(services);
    return nowMs >= untilMs ? { kind: "converged" } : { kind: "wait", untilMs };
  }
  if (failedSinceMs === undefined) return { kind: "wait", untilMs: undefined };
  if (services.every((service) => isConverged(service) || hasFailed(service))) return { kind: "failed" };
  const untilMs = failedSinceMs + COLLECT_FAILURES_MS;
  return nowMs >= untilMs ? { kind: "failed" } : { kind: "wait", untilMs };
}

/** Returns how long the services must stay converged. Zero if all are removed or have a health check. */
function stableAfterMs(services: readonly ServiceProgress[]): number {
  const present = services.filter(({ watched }) => watched?.removed === false);
  const hasFailures = present.some(
    (service) => service.failures.size > 0 || currentTasks(service).some(({ restarts }) => restarts > 0),
  );
  if (hasFailures) return STABLE_AFTER_FAILURE_MS;
  const isUnchecked = present.some((service) => currentTasks(service).length > 0 && !hasHealthcheck(service));
  return isUnchecked ? STABLE_AFTER_MS : 0;
}

function hasHealthcheck({ watched }: ServiceProgress): boolean {
  const test = watched?.summary?.service?.spec?.task?.container?.healthcheck?.test ?? [];
  return test.length > 0 && test[0] !== "NONE";
}
