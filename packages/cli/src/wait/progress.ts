import {
  type JobStatus,
  RestartPolicy_Condition,
  type Task,
  TaskState,
  type WatchedService,
  type WatchServicesResponse,
} from "@berth/proto";
import { currentTaskFilter, isFailed, slotName, taskState } from "../output/task-text.js";
import { hasRolloutFailed, isRollingOut } from "./rollout-status.js";

/** The state of the services that a command waits for. Immutable: each message of the server creates a new state. */
export interface Progress {
  readonly services: ReadonlyMap<string, ServiceProgress>;
  /** Time since which all services have been converged. Undefined while one of them has not converged. */
  readonly convergedSinceMs: number | undefined;
  /** Time since which a service has failed, or a slot has failed repeatedly. Undefined otherwise. */
  readonly failedSinceMs: number | undefined;
}

export interface ServiceProgress {
  readonly id: string;
  readonly name: string;
  /** The awaited version. Undefined for a removal. */
  readonly version: number | undefined;
  /** The last state that the server sent. Undefined until its first message about the service. */
  readonly watched: WatchedService | undefined;
  /** The failures during the wait, by slot. */
  readonly failures: ReadonlyMap<string, SlotFailures>;
}

/** The distinct failed tasks of a slot during the wait. */
interface SlotFailures {
  readonly taskIds: ReadonlySet<string>;
  readonly latest: Task;
}

/** A service to wait for. */
export interface AwaitedService {
  readonly id: string;
  readonly name: string;
  /** The version that the awaited change created. Undefined for a removal. */
  readonly version?: number;
}

/** Number of failures after which a slot is not expected to recover without a change. */
const MAX_SLOT_FAILURES = 3;

/** Returns the progress before the first message of the server. */
export function initialProgress(services: readonly AwaitedService[]): Progress {
  return {
    services: new Map(
      services.map(({ id, name, version }) => [
        id,
        { id, name, version, watched: undefined, failures: new Map() },
      ]),
    ),
    convergedSinceMs: undefined,
    failedSinceMs: undefined,
  };
}

/** Applies a message of the server. Services that are not in it keep their state. */
export function applyUpdate(progress: Progress, message: WatchServicesResponse, nowMs: number): Progress {
  const services = new Map(progress.services);
  for (const watched of message.services) {
    const service = services.get(watched.serviceId);
    if (service !== undefined) services.set(service.id, applyServiceUpdate(service, watched));
  }
  const all = [...services.values()];
  const isAllConverged = all.every(isConverged);
  const isAnyFailed = all.some((service) => hasFailed(service) || hasFailingSlots(service));
  return {
    services,
    convergedSinceMs: isAllConverged ? (progress.convergedSinceMs ?? nowMs) : undefined,
    failedSinceMs: isAnyFailed ? (progress.failedSinceMs ?? nowMs) : undefined,
  };
}

/** Returns whether the awaited version runs as specified, or the service has been removed. */
export function isConverged(service: ServiceProgress): boolean {
  const { watched, version } = service;
  if (watched === undefined) return false;
  if (watched.removed) return true;
  if (version === undefined) return false;
  const { converged = false, service: record } = watched.summary ?? {};
  return converged && (record?.version ?? 0) >= version && !isRollingOut(service) && !hasFailed(service);
}

/** Returns whether the wait can no longer succeed, because the rollout was paused or rolled back, or the job failed. */
export function hasFailed(service: ServiceProgress): boolean {
  return !isRemoval(service) && (hasRolloutFailed(service) || failedJob(service) !== undefined);
}

/** Returns whether the wait is for the removal of the service, which does not depend on its tasks. */
function isRemoval({ version }: ServiceProgress): boolean {
  return version === undefined;
}

/** Returns the failed run of a job, or undefined for a job with a cron schedule, whose next run may succeed. */
export function failedJob({ watched }: ServiceProgress): JobStatus | undefined {
  const { job, spec } = watched?.summary?.service ?? {};
  const hasEndedRun = job !== undefined && job.endedAtMs > 0 && job.failed;
  return hasEndedRun && spec?.cron === undefined ? job : undefined;
}

/** Returns whether slots keep failing without a rollout that would react to it. */
function hasFailingSlots(service: ServiceProgress): boolean {
  return (
    !isRemoval(service) && !isConverged(service) && !isRollingOut(service) && failingTasks(service).length > 0
  );
}

/** Returns the current tasks of slots that failed too often and do not run now. */
function failingTasks(service: ServiceProgress): readonly Task[] {
  return currentTasks(service).filter(
    (task) =>
      hasExhaustedRestarts(service, task) ||
      (taskState(task) !== TaskState.RUNNING && failureCount(service, task) >= MAX_SLOT_FAILURES),
  );
}

/** Returns whether a task has failed and its restart policy allows no further attempt. */
function hasExhaustedRestarts({ watched }: ServiceProgress, task: Task): boolean {
  const policy = watched?.summary?.service?.spec?.task?.restart;
  if (policy === undefined || !isFailed(task)) return false;
  const { condition, maxAttempts, windowMs } = policy;
  if (condition === RestartPolicy_Condition.NONE) return true;
  return maxAttempts > 0 && windowMs === 0 && task.restarts >= maxAttempts;
}

/** Returns the number of failures of a task's slot: during the wait, or as the server counts them, if that is more. */
export function failureCount({ failures }: ServiceProgress, task: Task): number {
  const seen = failures.get(slotName(task))?.taskIds.size ?? 0;
  return Math.max(seen, task.restarts + (isFailed(task) ? 1 : 0));
}

/** Returns the last failed task in a task's slot. It explains the failure while the next attempt is still starting. */
export function latestFailure({ failures }: ServiceProgress, task: Task): Task | undefined {
  return failures.get(slotName(task))?.latest;
}

/** Returns the tasks that run the current template. */
export function currentTasks({ watched }: ServiceProgress): readonly Task[] {
  return watched?.tasks.filter(currentTaskFilter(watched.summary?.service)) ?? [];
}

export function isJob({ watched }: ServiceProgress): boolean {
  const mode = watched?.summary?.service?.spec?.mode?.$case;
  return mode === "replicatedJob" || mode === "globalJob";
}

/** Returns whether a task has reached its goal: it runs, or, in a job, has completed. */
export function isDone(service: ServiceProgress, task: Task): boolean {
  const state = taskState(task);
  return state === TaskState.RUNNING ? !isJob(service) : state === TaskState.COMPLETE && isJob(service);
}

function applyServiceUpdate(service: ServiceProgress, watched: WatchedService): ServiceProgress {
  const updated = { ...service, watched };
  return withFailures(updated, currentTasks(updated).filter(isFailed));
}

/** Records failed tasks. A task that is recorded already is not counted again. */
export function withFailures(service: ServiceProgress, failed: readonly Task[]): ServiceProgress {
  const failures = new Map(service.failures);
  for (const task of failed) {
    const slot = slotName(task);
    const existing = failures.get(slot);
    const taskIds = new Set(existing?.taskIds).add(task.id);
    const isNewer = existing === undefined || task.createdAtMs >= existing.latest.createdAtMs;
    failures.set(slot, { taskIds, latest: isNewer ? task : existing.latest });
  }
  return { ...service, failures };
}
