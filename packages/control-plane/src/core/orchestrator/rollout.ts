import type { Rollout, Service, ServiceSpec } from "@berth/proto";
import {
  completeRollout,
  isRollback,
  isRolloutActive,
  isRolloutPaused,
  MAX_FAILED_SLOTS,
  pauseRollout,
} from "../model/rollout.js";
import type { ServiceTasks } from "../model/snapshot.js";
import { templateText } from "../model/template.js";
import { applySpec } from "./apply-spec.js";
import { specsInUse } from "./rollout/specs-in-use.js";
import type { Progress } from "./rollout-progress.js";
import type { UpdatePolicy } from "./update-policy.js";

/** Progress alone is written this often at most: a thousand slots that start at once are not a thousand writes. */
const PROGRESS_WRITE_MS = 1_000;

/** What becomes of a service's rollout now. */
export type RolloutStep =
  /** It goes on, or there is none. `service` is what is known of it now, when that is to be written. */
  | {
      readonly kind: "continue";
      readonly service?: Service;
      readonly reason: string;
      readonly dueMs: readonly number[];
    }
  /** Another state, perhaps another spec: everything else is decided anew after it. */
  | { readonly kind: "turn"; readonly service: Service; readonly reason: string };

export interface RolloutContext {
  readonly policy: UpdatePolicy;
  readonly progress: Progress;
  /** All slots that the service should have. */
  readonly total: number;
  /** Every one of them exists and runs something that the service now asks for. */
  readonly isComplete: boolean;
  readonly now: number;
}

/**
 * Decides whether a rollout goes on, has failed, or is complete. Everything it knows is in the records, so it does
 * not matter who decides. It cannot hang: each slot comes to count, fails, or is given up by the deadline, which
 * counts from the last slot that got further; there are only so many slots.
 */
export function stepRollout(view: ServiceTasks, context: RolloutContext): RolloutStep {
  const { service } = view;
  const { rollout } = service;
  if (rollout === undefined || !isRolloutActive(rollout)) return rest(service, context);
  const { progress, policy, total } = context;
  const hasFailed = progress.failedCount > policy.maxFailureRatio * total && progress.failedCount > 0;
  if (hasFailed && policy.onFailure !== "continue")
    return failed(view, withFailures(rollout, progress), context);
  const isDone =
    !progress.hasUntouched && progress.underway === undefined && progress.watchedUntilMs === undefined;
  return isDone ? completed(service, rollout, context) : advanced(service, rollout, context);
}

/** No rollout is on. One that was paused may have come right by itself; what runs well is a place to go back to. */
function rest(service: Service, context: RolloutContext): RolloutStep {
  const { progress, isComplete, total, now } = context;
  const { rollout, version } = service;
  const isSettled = isComplete && total > 0 && progress.done === total;
  if (rollout !== undefined && isRolloutPaused(rollout) && isSettled) {
    const whole = completeRollout(rollout, `${rollout.message}; all slots run well since`, now);
    return {
      kind: "turn",
      service: healthyNow({ ...service, rollout: whole }),
      reason: "its update is complete after all",
    };
  }
  const dueMs = progress.watchedUntilMs === undefined ? [] : [progress.watchedUntilMs];
  if (!isSettled || service.healthyVersion === version || isRolloutPaused(rollout)) {
    return { kind: "continue", reason: "", dueMs: service.healthyVersion === version ? [] : dueMs };
  }
  return {
    kind: "continue",
    service: healthyNow(service),
    reason: `version ${version} runs well`,
    dueMs: [],
  };
}

function completed(
  service: Service,
  rollout: Rollout,
  { progress, isComplete, total, now }: RolloutContext,
): RolloutStep {
  const { failedCount } = progress;
  const words =
    failedCount === 0
      ? ""
      : `${failedCount} of ${total} slots failed (${progress.failure || rollout.message})`;
  const message = [isRollback(rollout) ? rollout.message : "", words].filter(Boolean).join("; ");
  const whole = completeRollout(withFailures(rollout, progress), message, now);
  const isHealthy = isComplete && failedCount === 0 && progress.done === total && total > 0;
  const after = { ...service, rollout: whole };
  const what = isRollback(rollout) ? "rolled back" : "updated";
  return {
    kind: "turn",
    service: isHealthy ? healthyNow(after) : after,
    reason: `${what} to version ${service.version}`,
  };
}

function advanced(service: Service, rollout: Rollout, { progress, now }: RolloutContext): RolloutStep {
  const dueMs = [progress.watchedUntilMs, progress.deadlineMs].flatMap((at) => at ?? []);
  const hasFailures = progress.failedCount > rollout.failedCount;
  if (!hasFailures && progress.done <= rollout.updatedSlots) return { kind: "continue", reason: "", dueMs };
  const writeAtMs = rollout.progressedAtMs + PROGRESS_WRITE_MS;
  if (!hasFailures && writeAtMs > now) return { kind: "continue", reason: "", dueMs: [...dueMs, writeAtMs] };
  const next = { ...withFailures(rollout, progress), progressedAtMs: now };
  const reason = hasFailures
    ? `a slot failed (${progress.failure})`
    : `${progress.done} slots run version ${service.version}`;
  return {
    kind: "continue",
    service: {
      ...service,
      rollout: hasFailures ? { ...next, message: next.message || progress.failure } : next,
    },
    reason,
    dueMs,
  };
}

function withFailures(rollout: Rollout, progress: Progress): Rollout {
  return {
    ...rollout,
    updatedSlots: Math.max(rollout.updatedSlots, progress.done),
    failedCount: progress.failedCount,
    failedSlots: [...progress.failed].slice(0, MAX_FAILED_SLOTS),
  };
}

function failed(
  view: ServiceTasks,
  rollout: Rollout,
  { policy, progress, now }: RolloutContext,
): RolloutStep {
  const { service } = view;
  const what = isRollback(rollout) ? "the rollback" : "the update";
  const why = progress.failure || rollout.message;
  const words = `${what} to version ${service.version} failed (${why})`;
  if (policy.onFailure !== "rollback") return paused(service, rollout, { words, now });
  const target = healthySpec(view);
  if (target === undefined) {
    return paused(service, rollout, {
      words: `${words} and no other version is known to have run well`,
      now,
    });
  }
  const message = `${words}; rolled back to version ${service.healthyVersion}`;
  const inUse = specsInUse(view.tasks, (version) => view.revisions.get(version));
  const { service: before } = applySpec({ ...service, rollout }, target, {
    id: service.id,
    now,
    inUse,
    rollback: message,
  });
  return { kind: "turn", service: before, reason: message };
}

function paused(
  service: Service,
  rollout: Rollout,
  { words, now }: { readonly words: string; readonly now: number },
): RolloutStep {
  const message = `${words}: it is paused until the service is changed`;
  return {
    kind: "turn",
    service: { ...service, rollout: pauseRollout(rollout, message, now) },
    reason: message,
  };
}

/**
 * The spec to go back to: of the newest version that ran well, if that ran something else than what fails now. Their
 * texts are compared: what was gone back to by hand has a template of another name when no task ran it any more.
 */
function healthySpec({ service, spec, revisions }: ServiceTasks): ServiceSpec | undefined {
  const healthy = revisions.get(service.healthyVersion);
  return healthy === undefined || templateText(healthy) === templateText(spec) ? undefined : healthy;
}

/** Healthy versions that are remembered besides the newest one. */
const KEPT_HEALTHY = 10;

function healthyNow(service: Service): Service {
  const { version, healthyVersion, earlierHealthyVersions } = service;
  if (healthyVersion === version) return service;
  const earlier = healthyVersion === 0 ? [] : [healthyVersion, ...earlierHealthyVersions];
  return { ...service, healthyVersion: version, earlierHealthyVersions: earlier.slice(0, KEPT_HEALTHY) };
}
