import { type Task, TaskState } from "@berth/proto";
import { jobTaskTotal } from "../output/modes.js";
import { oneLine, truncate } from "../output/table.js";
import { countByState, taskState } from "../output/task-text.js";
import { countUpdatedSlots, failureText, pendingReasons, rollbackText } from "./explain.js";
import { currentTasks, isConverged, isDone, isJob, type Progress, type ServiceProgress } from "./progress.js";
import { rolloutStatus } from "./rollout-status.js";

const BAR_WIDTH = 10;
const MAX_NAME_WIDTH = 28;
/** Maximum width of a line. Lines never wrap, because a wrapped line cannot be redrawn in place. */
export const MAX_COLUMNS = 80;
/** Maximum number of lines. With more services, those that have not converged come first. */
const MAX_LINES = 20;

/**
 * Returns one line per service: its name, bar and counts, and the reason why it has not converged. No line is wider than
 * `columns` or 80.
 */
export function renderProgress(progress: Progress, columns: number): readonly string[] {
  const width = Math.min(columns, MAX_COLUMNS);
  const services = [...progress.services.values()];
  const nameWidth = Math.min(MAX_NAME_WIDTH, Math.max(...services.map(({ name }) => name.length), 0));
  const visible =
    services.length <= MAX_LINES ? services : unconvergedFirst(services).slice(0, MAX_LINES - 1);
  const lines = visible.map((service) => truncate(serviceLine(service, nameWidth), width));
  const hidden = services.length - visible.length;
  return hidden === 0 ? lines : [...lines, truncate(`… and ${hidden} more services`, width)];
}

/** Returns the line of a service without its bar, for output that is not a terminal. */
export function plainLine(service: ServiceProgress): string {
  return `${service.name}: ${statusText(service)}`;
}

function unconvergedFirst(services: readonly ServiceProgress[]): readonly ServiceProgress[] {
  return services.toSorted((a, b) => Number(isConverged(a)) - Number(isConverged(b)));
}

function serviceLine(service: ServiceProgress, nameWidth: number): string {
  const name = truncate(service.name, nameWidth).padEnd(nameWidth);
  return `${name}  ${bar(service)}  ${statusText(service)}`;
}

function bar(service: ServiceProgress): string {
  const filled = filledBarCells(service);
  return "█".repeat(filled) + "░".repeat(BAR_WIDTH - filled);
}

function filledBarCells(service: ServiceProgress): number {
  const { watched } = service;
  if (watched === undefined) return 0;
  const { done, total } = progressCounts(service);
  return watched.removed || done >= total ? BAR_WIDTH : Math.floor((done / total) * BAR_WIDTH);
}

/** Returns the counts to display: updated slots during a rollout, completions of a job, otherwise running tasks. */
function progressCounts(service: ServiceProgress): { readonly done: number; readonly total: number } {
  const { summary } = service.watched ?? {};
  if (summary === undefined) return { done: 0, total: 0 };
  const { running, desired, completed } = summary;
  if (isJob(service)) return { done: completed, total: jobTaskTotal(summary) };
  const status = rolloutStatus(service);
  const done = status.kind === "updating" ? countUpdatedSlots(service, status.updatedSlots) : running;
  return { done, total: desired };
}

/** Returns the counts of a service, and what it waits for. */
function statusText(service: ServiceProgress): string {
  const detail = detailText(service);
  return detail === "" ? countText(service) : `${countText(service)} ${detail}`;
}

function countText(service: ServiceProgress): string {
  const { watched } = service;
  if (watched === undefined) return "waiting";
  if (watched.removed) return "removed";
  const remaining = watched.tasks.length;
  if (watched.summary?.service?.removing) return remaining === 0 ? "removing" : `stopping ${remaining}`;
  const { done, total } = progressCounts(service);
  const count = `${done}/${total}`;
  if (isJob(service)) return isScheduled(service) ? "scheduled" : `${count} completed`;
  if (isConverged(service)) return `${count} running`;
  return rolloutStatus(service).kind === "updating" ? `updating ${count}` : count;
}

/** Returns whether a job has a cron schedule, so that there is nothing to wait for. */
function isScheduled({ watched }: ServiceProgress): boolean {
  return watched?.summary?.service?.spec?.cron !== undefined;
}

/** Returns what the service waits for. Empty if there is nothing to add to the counts. */
function detailText(service: ServiceProgress): string {
  const { watched } = service;
  if (watched === undefined || isConverged(service) || watched.summary?.service?.removing) return "";
  const failure = failureText(service);
  if (failure !== undefined) return failure;
  const status = rolloutStatus(service);
  if (status.kind === "rolling-back") return rollbackText(status.reason);
  const [worst] = pendingReasons(service);
  if (worst === undefined) return status.kind === "updating" ? "" : (serverReason(service) ?? "updating");
  return areStarting(service) ? countByState(unfinishedTasks(service)) : worst.text;
}

/** Returns the server's reason for a service that has no task with a reason. */
function serverReason({ watched }: ServiceProgress): string | undefined {
  const [reason] = watched?.summary?.reasons ?? [];
  return reason === undefined ? undefined : oneLine(reason);
}

/** Returns whether all unfinished tasks have a node and are starting there. */
function areStarting(service: ServiceProgress): boolean {
  return unfinishedTasks(service)
    .map(taskState)
    .every((state) => state >= TaskState.ASSIGNED && state <= TaskState.STARTING);
}

function unfinishedTasks(service: ServiceProgress): readonly Task[] {
  return currentTasks(service).filter((task) => !isDone(service, task));
}
