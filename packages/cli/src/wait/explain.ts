import type { ServiceSummary, Task } from "@berth/proto";
import { pluralize } from "../output/human.js";
import { jobTaskTotal } from "../output/modes.js";
import { taskStateName } from "../output/state-names.js";
import { oneLine } from "../output/table.js";
import { isFailed, statusMessage, taskName, taskState } from "../output/task-text.js";
import {
  currentTasks,
  failedJob,
  failureCount,
  isConverged,
  isDone,
  isJob,
  latestFailure,
  type Progress,
  type ServiceProgress,
} from "./progress.js";
import { rolloutStatus } from "./rollout-status.js";

/** A reason why tasks do not run, and the names of the tasks with this reason. */
export interface Reason {
  readonly text: string;
  readonly tasks: readonly string[];
  /** The highest number of failures in one slot of these tasks. */
  readonly failures: number;
}

/** Returns why tasks of a service do not run, grouped by reason. The reasons with the most failures come first. */
export function pendingReasons(service: ServiceProgress): readonly Reason[] {
  const pending = currentTasks(service).filter((task) => !isDone(service, task));
  return groupByReason(
    service,
    pending.map((task) => ({ task, text: slotReason(service, task) })),
  );
}

/** Returns why tasks failed during the wait, even if they have been replaced since. */
function pastFailures(service: ServiceProgress): readonly Reason[] {
  const failed = [...service.failures.values()].map(({ latest }) => latest);
  return groupByReason(
    service,
    failed.map((task) => ({ task, text: taskReason(task) })),
  );
}

function groupByReason(
  service: ServiceProgress,
  tasks: readonly { readonly task: Task; readonly text: string }[],
): readonly Reason[] {
  const reasons = new Map<string, Reason>();
  for (const { task, text } of tasks) {
    const existing = reasons.get(text);
    const failures = Math.max(failureCount(service, task), existing?.failures ?? 0);
    reasons.set(text, { text, tasks: [...(existing?.tasks ?? []), taskName(task)], failures });
  }
  return [...reasons.values()].sort((a, b) => b.failures - a.failures || b.tasks.length - a.tasks.length);
}

/** Describes the final failure of a service. Undefined if the service has not failed for good. */
export function failureText(service: ServiceProgress): string | undefined {
  const status = rolloutStatus(service);
  if (status.kind === "paused") return withPrefix("paused", status.reason);
  if (status.kind === "rolled-back") return withPrefix("rolled back", status.reason);
  const job = failedJob(service);
  return job === undefined ? undefined : `job failed: ${oneLine(job.message) || "see its tasks"}`;
}

/** Returns a line for each service that has not converged, followed by the reasons. */
export function explainUnconverged(progress: Progress): readonly string[] {
  return [...progress.services.values()].filter((service) => !isConverged(service)).flatMap(explainService);
}

function explainService(service: ServiceProgress): readonly string[] {
  const { watched, name } = service;
  const summary = watched?.summary;
  if (summary === undefined) return [`  ${name}: no status received yet`];
  const failure = failureText(service);
  if (failure !== undefined) {
    const past = pastFailures(service);
    const reasons = past.length > 0 ? past : pendingReasons(service);
    return [`  ${name}: ${failure}`, ...reasons.map((reason) => `    ${formatReason(reason)}`)];
  }
  const reasons = pendingReasons(service);
  const head = `  ${name}: ${countText(service, summary)}`;
  if (reasons.length === 0) return [`${head}, ${pendingText(service)}`];
  return [head, ...reasons.map((reason) => `    ${formatReason(reason)}`)];
}

function formatReason({ text, tasks, failures }: Reason): string {
  const [first = ""] = tasks;
  const subject = tasks.length === 1 ? first : `${first} and ${tasks.length - 1} more`;
  return `${subject}: ${text}${failures > 1 ? ` (failed ${failures} times)` : ""}`;
}

function countText(service: ServiceProgress, summary: ServiceSummary): string {
  const { running, desired, completed } = summary;
  if (isJob(service)) return `${completed} of ${pluralize(jobTaskTotal(summary), "task")} completed`;
  const tasks = pluralize(desired, "task");
  const status = rolloutStatus(service);
  if (status.kind !== "updating") return `${running} of ${tasks} running`;
  return `${countUpdatedSlots(service, status.updatedSlots)} of ${tasks} updated, ${running} running`;
}

/** Returns the number of updated slots. The rollout record is written less often than the tasks and may lag behind. */
export function countUpdatedSlots(service: ServiceProgress, recorded: number): number {
  return Math.max(recorded, currentTasks(service).filter((task) => isDone(service, task)).length);
}

/** Adds a prefix to the server's reason, unless the reason contains it already. */
function withPrefix(prefix: string, reason: string): string {
  return reason.includes(prefix) ? reason : `${prefix}: ${reason}`;
}

/** Returns what a service waits for when none of its tasks has a reason. */
function pendingText(service: ServiceProgress): string {
  const { watched } = service;
  if (watched?.summary?.service?.removing) return `${pluralize(watched.tasks.length, "task")} still stopping`;
  const status = rolloutStatus(service);
  if (status.kind === "rolling-back") return rollbackText(status.reason);
  if (status.kind === "updating") return "update in progress";
  return watched?.summary?.reasons[0] ?? "not converged yet";
}

/** Returns `rolling back`, followed by the reason if there is one. */
export function rollbackText(reason: string): string {
  return `rolling back${reason === "" ? "" : `: ${reason}`}`;
}

/** Returns the state of a slot's task, preceded by the reason why an earlier attempt failed. */
function slotReason(service: ServiceProgress, task: Task): string {
  const failure = latestFailure(service, task);
  const isRetry = failure !== undefined && failure.id !== task.id && !isFailed(task);
  return isRetry ? `${taskReason(failure)}; now ${taskReason(task)}` : taskReason(task);
}

/** Returns `failed: exit code 1: no such file`. */
function taskReason(task: Task): string {
  return [taskStateName(taskState(task)), statusMessage(task)].filter((part) => part !== "").join(": ");
}
