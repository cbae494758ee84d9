import { assertNever, type Rollout, type Service } from "@berth/proto";
import {
  completeRollout,
  isRollback,
  isRolloutActive,
  isRolloutPaused,
  MAX_FAILED_SLOTS,
  pauseRollout,
} from "../model/rollout.js";
import type { ServiceTasks } from "../model/snapshot.js";
import { applySpec } from "./apply-spec.js";
import { automaticRollbackSpec } from "./rollback.js";
import type { RolloutProgress } from "./rollout-progress.js";
import { findSpecsInUse } from "./specs-in-use.js";
import type { UpdatePolicy } from "./update-policy.js";

/** Minimum time between writes that only record progress. A thousand slots that start at once then share few writes. */
const PROGRESS_WRITE_MS = 1_000;

/** Number of earlier healthy versions in a service record. With the healthy version, a rollback can restore ten. */
const MAX_EARLIER_HEALTHY_VERSIONS = 9;

/** Decision about a service's rollout. */
export type RolloutDecision =
  /** The same plan also decides the slots. `service` is the record to write if it has changed. */
  | {
      readonly kind: "continue";
      readonly service?: Service;
      readonly reason: string;
      readonly dueTimesMs: readonly number[];
    }
  /** The rollout ended or was paused. The next plan decides the slots. */
  | { readonly kind: "change-state"; readonly service: Service; readonly reason: string }
  /** The update failed, and the service returns to an earlier template. */
  | {
      readonly kind: "roll-back";
      readonly service: Service;
      readonly failure: string;
      readonly reason: string;
    };

export interface RolloutContext {
  readonly policy: UpdatePolicy;
  readonly progress: RolloutProgress;
  /** Number of slots that the service should have. */
  readonly total: number;
  /** Whether every slot exists and runs the current template. */
  readonly isComplete: boolean;
  readonly nowMs: number;
}

/**
 * Decides whether a rollout continues, has failed or is complete.
 *
 * All inputs are in the records, so every leader makes the same decision. A rollout cannot hang: each slot is updated,
 * fails, or exceeds the deadline. The deadline restarts only when one more slot is updated.
 */
export function decideRollout(snapshot: ServiceTasks, context: RolloutContext): RolloutDecision {
  const { service } = snapshot;
  const { rollout } = service;
  if (rollout === undefined || !isRolloutActive(rollout)) return decideIdle(service, context);
  const { progress, policy, total } = context;
  const hasFailed = progress.failedCount > policy.maxFailureRatio * total && progress.failedCount > 0;
  if (hasFailed && policy.onFailure !== "continue") {
    return failRollout(snapshot, withProgress(rollout, progress), context);
  }
  const isOver = !progress.hasOutdated && !progress.isUpdating && progress.monitoredUntilMs === undefined;
  return isOver ? complete(service, rollout, context) : advance(service, rollout, context);
}

/** Decides without an active rollout: a paused rollout may have completed, and the version may have become healthy. */
function decideIdle(
  service: Service,
  { progress, isComplete, total, nowMs }: RolloutContext,
): RolloutDecision {
  const { rollout, version, healthyVersion } = service;
  const isPaused = isRolloutPaused(rollout);
  const isHealthy = isComplete && total > 0 && progress.updatedCount === total;
  if (rollout !== undefined && isPaused && isHealthy) {
    const message = `${rollout.message}; all slots have become healthy since`;
    return {
      kind: "change-state",
      service: withHealthyVersion({ ...service, rollout: completeRollout(rollout, message, nowMs) }),
      reason: "the paused update is complete",
    };
  }
  if (healthyVersion === version) return { kind: "continue", reason: "", dueTimesMs: [] };
  if (!isHealthy || isPaused) return { kind: "continue", reason: "", dueTimesMs: monitoringEnd(progress) };
  return {
    kind: "continue",
    service: withHealthyVersion(service),
    reason: `version ${version} is healthy`,
    dueTimesMs: [],
  };
}

function monitoringEnd({ monitoredUntilMs }: RolloutProgress): readonly number[] {
  return monitoredUntilMs === undefined ? [] : [monitoredUntilMs];
}

function complete(
  service: Service,
  rollout: Rollout,
  { progress, isComplete, total, nowMs }: RolloutContext,
): RolloutDecision {
  const { failedCount, updatedCount } = progress;
  const failures =
    failedCount === 0
      ? ""
      : `${failedCount} of ${total} slots failed (${progress.failure || rollout.message})`;
  const message = [isRollback(rollout) ? rollout.message : "", failures].filter(Boolean).join("; ");
  const completed = completeRollout(withProgress(rollout, progress), message, nowMs);
  const isHealthy = isComplete && failedCount === 0 && updatedCount === total && total > 0;
  const after = { ...service, rollout: completed };
  const verb = isRollback(rollout) ? "rolled back" : "updated";
  return {
    kind: "change-state",
    service: isHealthy ? withHealthyVersion(after) : after,
    reason: `${verb} to version ${service.version}`,
  };
}

function advance(service: Service, rollout: Rollout, { progress, nowMs }: RolloutContext): RolloutDecision {
  const dueTimesMs = [progress.monitoredUntilMs, progress.deadlineMs].flatMap((dueAtMs) => dueAtMs ?? []);
  const hasNewFailures = progress.failedCount > rollout.failedCount;
  if (!hasNewFailures) {
    if (progress.updatedCount <= rollout.updatedSlots) return { kind: "continue", reason: "", dueTimesMs };
    const writeAtMs = rollout.progressedAtMs + PROGRESS_WRITE_MS;
    if (writeAtMs > nowMs) return { kind: "continue", reason: "", dueTimesMs: [...dueTimesMs, writeAtMs] };
  }
  const next = { ...withProgress(rollout, progress), progressedAtMs: nowMs };
  const message = hasNewFailures ? next.message || progress.failure : next.message;
  return {
    kind: "continue",
    service: { ...service, rollout: { ...next, message } },
    reason: hasNewFailures
      ? `a slot failed (${progress.failure})`
      : `${progress.updatedCount} slots run version ${service.version}`,
    dueTimesMs,
  };
}

function withProgress(rollout: Rollout, progress: RolloutProgress): Rollout {
  return {
    ...rollout,
    updatedSlots: Math.max(rollout.updatedSlots, progress.updatedCount),
    failedCount: progress.failedCount,
    failedSlots: [...progress.failed].slice(0, MAX_FAILED_SLOTS),
  };
}

function failRollout(
  snapshot: ServiceTasks,
  rollout: Rollout,
  { policy, progress, nowMs }: RolloutContext,
): RolloutDecision {
  const { service } = snapshot;
  const attempt = isRollback(rollout) ? "the rollback" : "the update";
  const cause = progress.failure || rollout.message;
  const failure = `${attempt} to version ${service.version} failed (${cause})`;
  switch (policy.onFailure) {
    case "pause":
    case "continue":
      return pause(service, rollout, failure, nowMs);
    case "rollback":
      return rollBack(snapshot, rollout, failure, nowMs);
    default:
      return assertNever(policy.onFailure);
  }
}

function rollBack(snapshot: ServiceTasks, rollout: Rollout, failure: string, nowMs: number): RolloutDecision {
  const { service, tasks, revisions } = snapshot;
  const spec = automaticRollbackSpec(snapshot);
  if (spec === undefined) {
    return pause(service, rollout, `${failure} and no other version was healthy`, nowMs);
  }
  const reason = `${failure}; rolled back to version ${service.healthyVersion}`;
  const context = {
    id: service.id,
    nowMs,
    specsInUse: findSpecsInUse(tasks, (version) => revisions.get(version)),
    rollbackMessage: reason,
  };
  const restored = applySpec({ ...service, rollout }, spec, context);
  return { kind: "roll-back", service: restored.service, failure, reason };
}

function pause(service: Service, rollout: Rollout, failure: string, nowMs: number): RolloutDecision {
  const paused = pauseRollout(rollout, failure, nowMs);
  return { kind: "change-state", service: { ...service, rollout: paused }, reason: paused.message };
}

function withHealthyVersion(service: Service): Service {
  const { version, healthyVersion, earlierHealthyVersions } = service;
  if (healthyVersion === version) return service;
  const earlier = healthyVersion === 0 ? [] : [healthyVersion, ...earlierHealthyVersions];
  return {
    ...service,
    healthyVersion: version,
    earlierHealthyVersions: earlier.slice(0, MAX_EARLIER_HEALTHY_VERSIONS),
  };
}
