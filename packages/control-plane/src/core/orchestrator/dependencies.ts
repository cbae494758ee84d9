import {
  assertNever,
  type Dependency,
  Dependency_Condition,
  DesiredState,
  type JobStatus,
  type Service,
  type Task,
  TaskState,
} from "@berth/proto";
import { type Slot, slotsByNode, slotsByNumber, taskSlotKey } from "../model/slots.js";
import type { ClusterSnapshot, ServiceSnapshot } from "../model/snapshot.js";
import { isReady, shouldRun, stateOf } from "../model/task-state.js";
import { currentTaskFilter } from "../model/template.js";
import { durationText } from "../model/text.js";
import { WAITING_FOR } from "../scheduler/pending-reason.js";
import { convergence } from "./convergence.js";
import { isJob, jobRuns, NO_TEMPLATE } from "./job-schedule.js";
import { decideRestart } from "./restart.js";

/** Default time for a dependency to become ready. Equals the default progress deadline of updates. */
const DEFAULT_DEADLINE_MS = 5 * 60_000;

/** Whether a service may start its first tasks, or waits for dependencies. */
export type DependencyWait =
  | { readonly kind: "ready" }
  | {
      readonly kind: "waiting";
      /** Reason for users, such as `waiting for db: healthy`. */
      readonly reason: string;
      /** Deadline of the dependencies. Undefined if it has passed or there is none. */
      readonly deadlineMs: number | undefined;
    };

/** The state of a service on which other services depend. */
export interface DependencyState {
  /** Whether all desired tasks have been started. */
  readonly started: boolean;
  /** Whether all desired tasks are ready. */
  readonly healthy: boolean;
  /** Whether all of its tasks have completed. */
  readonly completed: boolean;
  /** Reason why the service cannot complete. Empty while it can. */
  readonly failure: string;
}

/** Finds a service by full name. Returns undefined if it does not exist. */
export type DependencyLookup = (service: string) => DependencyState | undefined;

/**
 * Decides whether the first tasks of a service wait for its dependencies.
 *
 * As in Compose, restarts, moves and updates do not wait. After the deadline, the service still waits and the reason
 * changes. An optional dependency is ignored when it does not exist or its deadline has passed.
 */
export function dependencyWait(
  snapshot: ServiceSnapshot,
  lookup: DependencyLookup,
  nowMs: number,
): DependencyWait {
  const { spec, service } = snapshot;
  if (spec.dependsOn.length === 0 || service.removing || hasStarted(snapshot)) return { kind: "ready" };
  const allowedMs = spec.update?.progressDeadlineMs ?? DEFAULT_DEADLINE_MS;
  const deadlineMs = allowedMs === 0 ? undefined : waitingSinceMs(snapshot.tasks, nowMs) + allowedMs;
  const isOverdue = deadlineMs !== undefined && nowMs >= deadlineMs;
  const missedTimeout = isOverdue ? durationText(allowedMs) : undefined;
  const reasons = spec.dependsOn
    .map((dependency) => unmetReason(dependency, lookup, missedTimeout))
    .filter((reason) => reason !== undefined);
  if (reasons.length === 0) return { kind: "ready" };
  return {
    kind: "waiting",
    reason: `${WAITING_FOR}${reasons.join(", ")}`,
    deadlineMs: isOverdue ? undefined : deadlineMs,
  };
}

/**
 * Returns whether the service was started before: a task has a node, a version was healthy, or a run completed.
 *
 * A run that has only started does not count: it may have waited for the dependencies until the next run replaced it.
 */
function hasStarted(snapshot: ServiceSnapshot): boolean {
  const { service } = snapshot;
  const runs = [...(service.job === undefined ? [] : [service.job]), ...jobRuns(service)];
  if (service.healthyVersion > 0 || runs.some(isCompleted)) return true;
  return snapshot.tasks.some(
    ({ nodeId, desiredState }) => nodeId !== "" && desiredState < DesiredState.REMOVE,
  );
}

function isCompleted({ endedAtMs, failed, templateVersion }: JobStatus): boolean {
  return endedAtMs > 0 && !failed && templateVersion !== NO_TEMPLATE;
}

/** Returns the time since which the service has been waiting: the creation time of its oldest task. */
function waitingSinceMs(tasks: readonly Task[], nowMs: number): number {
  return tasks.reduce((earliestMs, task) => Math.min(earliestMs, task.createdAtMs), nowMs);
}

/**
 * Returns why a dependency is not met, or undefined if it is met or ignored.
 *
 * @param missedTimeout the time that the dependency had, as text. Undefined while the time has not passed
 */
function unmetReason(
  { service, condition, optional }: Dependency,
  lookup: DependencyLookup,
  missedTimeout: string | undefined,
): string | undefined {
  const state = lookup(service);
  if (state !== undefined && isMet(condition, state)) return undefined;
  if (optional && (state === undefined || missedTimeout !== undefined)) return undefined;
  if (state === undefined) return `${service}: no such service`;
  if (condition === Dependency_Condition.COMPLETED && state.failure !== "") {
    return `${service}: failed: ${state.failure}`;
  }
  const goal = conditionText(condition);
  return missedTimeout === undefined
    ? `${service}: ${goal}`
    : `${service}: was not ${goal} within ${missedTimeout}`;
}

/** Returns whether a dependency is in the state that its condition requires. */
export function isMet(condition: Dependency_Condition, state: DependencyState): boolean {
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

function conditionText(condition: Dependency_Condition): string {
  switch (condition) {
    case Dependency_Condition.UNSPECIFIED:
    case Dependency_Condition.STARTED:
      return "started";
    case Dependency_Condition.HEALTHY:
      return "healthy";
    case Dependency_Condition.COMPLETED:
      return "completed";
    default:
      return assertNever(condition);
  }
}

/** Returns the state of a service for the services that depend on it. */
export function dependencyState(
  snapshot: ServiceSnapshot,
  cluster: ClusterSnapshot,
  nowMs: number,
): DependencyState {
  return isJob(snapshot.spec) ? jobState(snapshot) : serviceState(snapshot, cluster, nowMs);
}

function jobState({ service, tasks }: ServiceSnapshot): DependencyState {
  const [run] = jobRuns(service);
  const runTasks = tasks.filter((task) => task.jobIteration === run?.iteration);
  const isCurrent = run !== undefined && isCurrentRun(run, service);
  const completed = isCurrent && run.endedAtMs > 0 && !run.failed;
  return {
    started:
      completed || runTasks.some((task) => isStartingOrRunning(task) || stateOf(task) === TaskState.COMPLETE),
    healthy: runTasks.some((task) => shouldRun(task) && isReady(task)),
    completed,
    failure: isCurrent && run.failed ? run.message : "",
  };
}

/** Returns whether a run counts for the current spec. The last run of a scheduled job always counts. */
function isCurrentRun(run: JobStatus, { cron, templateVersion }: Service): boolean {
  return cron !== undefined || run.templateVersion === templateVersion;
}

function serviceState(snapshot: ServiceSnapshot, cluster: ClusterSnapshot, nowMs: number): DependencyState {
  const { service, spec, tasks } = snapshot;
  const { desired } = convergence(snapshot, cluster, nowMs);
  const isCurrent = currentTaskFilter(service);
  const slots = spec.mode?.$case === "global" ? slotsByNode(tasks) : slotsByNumber(tasks);
  const restarts = slots
    .filter(hasOnlyEndedTasks)
    .map(({ ended }) => decideRestart({ ended, policy: spec.task?.restart, isCurrent, nowMs }));
  const completed = restarts.filter(({ kind }) => kind === "completed").length;
  const failures = restarts.flatMap((restart) => (restart.kind === "exhausted" ? [restart.reason] : []));
  const desiredTasks = tasks.filter(shouldRun);
  return {
    started: countSlots(desiredTasks.filter(isStartingOrRunning)) + completed >= desired,
    healthy: countSlots(desiredTasks.filter(isReady)) >= desired,
    completed: completed >= desired,
    failure: failures[0] ?? "",
  };
}

function hasOnlyEndedTasks({ active, pending, ended }: Slot): boolean {
  return active.length === 0 && pending.length === 0 && ended.length > 0;
}

/** Counts the slots of tasks. A slot may have two tasks during a start-first update. */
function countSlots(tasks: readonly Task[]): number {
  return new Set(tasks.map(taskSlotKey)).size;
}

function isStartingOrRunning(task: Task): boolean {
  return stateOf(task) === TaskState.STARTING || stateOf(task) === TaskState.RUNNING;
}
