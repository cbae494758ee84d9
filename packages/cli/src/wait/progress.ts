import {
  type JobStatus,
  RestartPolicy_Condition,
  type Task,
  TaskState,
  type WatchedService,
  type WatchServicesResponse,
} from "@berth/proto";
import { currentTaskFilter } from "../output/current-task.js";
import { hasRolloutFailed, isRollingOut } from "./rollout-status.js";

/** What a wait knows of the services that it waits for. Never changed: each message makes a new one. */
export interface Progress {
  readonly services: ReadonlyMap<string, ServiceProgress>;
  /** Since when nothing was left to do; undefined while there is something. */
  readonly convergedSinceMs: number | undefined;
  /** Since when some service has failed for good, or some slot too often; undefined while none has. */
  readonly failedSinceMs: number | undefined;
}

export interface ServiceProgress {
  readonly id: string;
  readonly name: string;
  /** The version whose arrival is waited for; undefined: whichever there is. */
  readonly version: number | undefined;
  /** Undefined until the first word of it. */
  readonly watched: WatchedService | undefined;
  /** What failed while we watched, by slot. */
  readonly failures: ReadonlyMap<string, SlotFailures>;
}

interface SlotFailures {
  readonly taskIds: ReadonlySet<string>;
  readonly latest: Task;
}

export interface AwaitedService {
  readonly id: string;
  readonly name: string;
  /** The version that was made of it, if something was. */
  readonly version?: number;
}

/** A slot that failed this often will not run by itself: something about it is wrong. */
const MAX_SLOT_FAILURES = 3;

const FAILED_STATES: readonly TaskState[] = [TaskState.FAILED, TaskState.REJECTED];

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

/** Takes over a message of the server. Services that it does not name stay as they were. */
export function applyUpdate(progress: Progress, message: WatchServicesResponse, nowMs: number): Progress {
  const services = new Map(progress.services);
  for (const watched of message.services) {
    const service = services.get(watched.serviceId);
    if (service !== undefined) services.set(service.id, applyServiceUpdate(service, watched));
  }
  const all = [...services.values()];
  const settled = all.every(isConverged);
  const hopeless = all.some((service) => hasFailed(service) || hasFailingSlots(service));
  return {
    services,
    convergedSinceMs: settled ? (progress.convergedSinceMs ?? nowMs) : undefined,
    failedSinceMs: hopeless ? (progress.failedSinceMs ?? nowMs) : undefined,
  };
}

export function isConverged(service: ServiceProgress): boolean {
  const { watched, version = 0 } = service;
  if (watched === undefined || watched.removed) return watched !== undefined;
  const { converged = false, service: record } = watched.summary ?? {};
  return converged && (record?.version ?? 0) >= version && !isRollingOut(service) && !hasFailed(service);
}

/** Nothing will come of it any more: its rollout has ended otherwise than it should, or its job has failed. */
export function hasFailed(service: ServiceProgress): boolean {
  return hasRolloutFailed(service) || failedJob(service) !== undefined;
}

/** The run of a one-time job that has failed. One that runs by the clock has another chance. */
export function failedJob({ watched }: ServiceProgress): JobStatus | undefined {
  const { job, spec } = watched?.summary?.service ?? {};
  const isOver = job !== undefined && job.endedAtMs > 0 && job.failed;
  return isOver && spec?.cron === undefined ? job : undefined;
}

/** Some slots fail again and again, and no rollout watches over them. */
function hasFailingSlots(service: ServiceProgress): boolean {
  return !isConverged(service) && !isRollingOut(service) && failingSlots(service).length > 0;
}

/** The newest tasks of the slots that failed too often and do not run now. */
function failingSlots(service: ServiceProgress): readonly Task[] {
  return currentTasks(service).filter(
    (task) =>
      hasExhaustedRestarts(service, task) ||
      (stateOf(task) !== TaskState.RUNNING && failureCount(service, task) >= MAX_SLOT_FAILURES),
  );
}

/** It failed, and its restart policy allows no further attempt. */
function hasExhaustedRestarts({ watched }: ServiceProgress, task: Task): boolean {
  const policy = watched?.summary?.service?.spec?.task?.restart;
  if (policy === undefined || !isFailed(task)) return false;
  const { condition, maxAttempts, windowMs } = policy;
  if (condition === RestartPolicy_Condition.NONE) return true;
  return maxAttempts > 0 && windowMs === 0 && task.restarts >= maxAttempts;
}

/** Failures of a task's slot: those seen, or those that the server counted before we looked. */
export function failureCount({ failures }: ServiceProgress, task: Task): number {
  const seen = failures.get(slotKey(task))?.taskIds.size ?? 0;
  return Math.max(seen, task.restarts + (isFailed(task) ? 1 : 0));
}

/** The last failure of a task's slot that we saw: what says why, while the next attempt has nothing to say yet. */
export function latestFailure({ failures }: ServiceProgress, task: Task): Task | undefined {
  return failures.get(slotKey(task))?.latest;
}

/** Tasks of the version that is to run: what stops or is outdated says nothing about it. */
export function currentTasks({ watched }: ServiceProgress): readonly Task[] {
  return watched?.tasks.filter(currentTaskFilter(watched.summary?.service)) ?? [];
}

/** Whether its tasks are to end. */
export function isJob({ watched }: ServiceProgress): boolean {
  const mode = watched?.summary?.service?.spec?.mode?.$case;
  return mode === "replicatedJob" || mode === "globalJob";
}

/** Whether a task is where it should be. */
export function isDone(service: ServiceProgress, task: Task): boolean {
  const state = stateOf(task);
  return state === TaskState.RUNNING ? !isJob(service) : state === TaskState.COMPLETE && isJob(service);
}

export function stateOf(task: Task): TaskState {
  return task.status?.state ?? TaskState.UNSPECIFIED;
}

export function isFailed(task: Task): boolean {
  return FAILED_STATES.includes(stateOf(task));
}

function applyServiceUpdate(service: ServiceProgress, watched: WatchedService): ServiceProgress {
  const next = { ...service, watched };
  return withFailures(next, currentTasks(next).filter(isFailed));
}

/** Remembers tasks that failed, each once however often it is told. */
export function withFailures(service: ServiceProgress, failed: readonly Task[]): ServiceProgress {
  const failures = new Map(service.failures);
  for (const task of failed) {
    const key = slotKey(task);
    const known = failures.get(key);
    const taskIds = new Set(known?.taskIds).add(task.id);
    const isNewer = known === undefined || task.createdAtMs >= known.latest.createdAtMs;
    failures.set(key, { taskIds, latest: isNewer ? task : known.latest });
  }
  return { ...service, failures };
}

/** A task of a global service has no slot: its node is its slot. */
function slotKey({ slot, nodeId }: Task): string {
  return slot === 0 ? nodeId : String(slot);
}
