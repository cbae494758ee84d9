import {
  assertNever,
  type Dependency,
  Dependency_Condition,
  DesiredState,
  type JobStatus,
  type Task,
} from "@berth/proto";
import type { ServiceSnapshot } from "../model/snapshot.js";
import { durationText } from "../model/text.js";
import { WAITING_FOR } from "../scheduler/pending-reason.js";
import type { DependencyState } from "./dependencies/dependency-state.js";
import { NO_TEMPLATE, runsOf } from "./jobs/job-history.js";

/** Time that a dependency has when the spec does not say: as long as an update has to get further. */
const DEFAULT_DEADLINE_MS = 5 * 60_000;

/** Whether a service may get its first tasks. */
export type Gate =
  | { readonly kind: "open" }
  | {
      readonly kind: "closed";
      /** `waiting for db: healthy`. */
      readonly holdReason: string;
      /** When to ask again, even if nothing changes. */
      readonly atMs?: number;
    };

/** Knows the services that may be waited for, by full name; undefined for one that is not there. */
export type DependencyLookup = (service: string) => DependencyState | undefined;

const OPEN: Gate = { kind: "open" };

/**
 * Holds the first tasks of a service back until what it depends on is ready. What has been started once is never held
 * again: restarts, moves and updates do not wait, as with Compose. Past the deadline it says so, and still waits: it
 * starts when it can. An optional dependency holds nothing up that is not there or is late.
 */
export function decideGate(view: ServiceSnapshot, lookup: DependencyLookup, now: number): Gate {
  const { spec, service, tasks } = view;
  if (spec.dependsOn.length === 0 || service.removing || hasStarted(view)) return OPEN;
  const allowedMs = spec.update?.progressDeadlineMs ?? DEFAULT_DEADLINE_MS;
  const deadlineMs = allowedMs === 0 ? Number.POSITIVE_INFINITY : waitsSinceMs(tasks, now) + allowedMs;
  const lateBy = now >= deadlineMs ? durationText(allowedMs) : "";
  const unmet = spec.dependsOn.flatMap((dependency) => unmetReason(dependency, lookup, lateBy));
  if (unmet.length === 0) return OPEN;
  const holdReason = `${WAITING_FOR}${unmet.join(", ")}`;
  const isLater = lateBy === "" && deadlineMs !== Number.POSITIVE_INFINITY;
  return { kind: "closed", holdReason, ...(isLater ? { atMs: deadlineMs } : {}) };
}

/**
 * A task that was given a node and is not being removed; or a version that ran well, or a run that was done, before.
 * That there were runs says nothing: each may have waited until the next one took its place.
 */
function hasStarted({ service, tasks }: ServiceSnapshot): boolean {
  const runs = [...(service.job === undefined ? [] : [service.job]), ...runsOf(service)];
  if (service.healthyVersion > 0 || runs.some(wasDone)) return true;
  return tasks.some(({ nodeId, desiredState }) => nodeId !== "" && desiredState < DesiredState.REMOVE);
}

const wasDone = ({ endedAtMs, failed, templateVersion }: JobStatus): boolean =>
  endedAtMs > 0 && !failed && templateVersion !== NO_TEMPLATE;

/** The tasks that wait were made when the waiting began. */
const waitsSinceMs = (tasks: readonly Task[], now: number): number =>
  tasks.reduce((earliest, task) => Math.min(earliest, task.createdAtMs), now);

function unmetReason(
  { service, condition, optional }: Dependency,
  lookup: DependencyLookup,
  lateBy: string,
): readonly string[] {
  const state = lookup(service);
  if (state !== undefined && isMet(condition, state)) return [];
  if (optional && (state === undefined || lateBy !== "")) return [];
  if (state === undefined) return [`${service}: there is no such service`];
  const word = conditionWord(condition);
  if (condition === Dependency_Condition.COMPLETED && state.failure !== "") {
    return [`${service}: it failed: ${state.failure}`];
  }
  return [lateBy === "" ? `${service}: ${word}` : `${service}: it was not ${word} within ${lateBy}`];
}

function isMet(condition: Dependency_Condition, state: DependencyState): boolean {
  switch (condition) {
    case Dependency_Condition.UNSPECIFIED:
    case Dependency_Condition.STARTED:
      return state.started;
    case Dependency_Condition.HEALTHY:
      return state.healthy;
    case Dependency_Condition.COMPLETED:
      return state.completed;
    default:
      return assertNever(condition);
  }
}

function conditionWord(condition: Dependency_Condition): string {
  if (condition === Dependency_Condition.HEALTHY) return "healthy";
  return condition === Dependency_Condition.COMPLETED ? "completed" : "started";
}
