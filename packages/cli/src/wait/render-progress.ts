import { TaskState } from "@berth/proto";
import { jobTotal } from "../output/modes.js";
import { taskStateName } from "../output/state-names.js";
import { oneLine, truncate } from "../output/table.js";
import { failureText, reasonsOf, updatedSlots } from "./explain.js";
import {
  currentTasks,
  isConverged,
  isDone,
  isJob,
  type Progress,
  type ServiceProgress,
  stateOf,
} from "./progress.js";
import { rolloutStatus } from "./rollout-status.js";

const BAR_WIDTH = 10;
const MAX_NAME_WIDTH = 28;
/** The view never wraps: a wrapped line could not be drawn over. */
export const MAX_COLUMNS = 80;
/** More services than this do not fit a terminal: the settled ones make room. */
const MAX_LINES = 20;

/** One line per service: name, bar, numbers, and what holds it up. No line is wider than `columns` or 80. */
export function renderProgress(progress: Progress, columns: number): readonly string[] {
  const width = Math.min(columns, MAX_COLUMNS);
  const services = [...progress.services.values()];
  const nameWidth = Math.min(MAX_NAME_WIDTH, Math.max(...services.map(({ name }) => name.length), 0));
  const shown = services.length <= MAX_LINES ? services : unsettledFirst(services).slice(0, MAX_LINES - 1);
  const lines = shown.map((service) => truncate(serviceLine(service, nameWidth), width));
  const hidden = services.length - shown.length;
  return hidden === 0 ? lines : [...lines, truncate(`… and ${hidden} more services`, width)];
}

/** What changes in a service's line, without its looks: printed once per change where nothing can be drawn over. */
export function plainLine(service: ServiceProgress): string {
  return `${service.name}: ${numbers(service)}${hint(service)}`;
}

function unsettledFirst(services: readonly ServiceProgress[]): readonly ServiceProgress[] {
  return services.toSorted((a, b) => Number(isConverged(a)) - Number(isConverged(b)));
}

function serviceLine(service: ServiceProgress, nameWidth: number): string {
  const name = truncate(service.name, nameWidth).padEnd(nameWidth);
  return `${name}  ${bar(service)}  ${numbers(service)}${hint(service)}`;
}

function bar(service: ServiceProgress): string {
  const { watched } = service;
  const { done, wanted } = countsOf(service);
  const isWhole = watched?.removed === true || done >= wanted;
  const full = watched === undefined ? 0 : isWhole ? BAR_WIDTH : Math.floor((done / wanted) * BAR_WIDTH);
  return "█".repeat(full) + "░".repeat(BAR_WIDTH - full);
}

/** What the bar and the numbers count: slots of a rollout, completions of a job, else tasks that run. */
function countsOf(service: ServiceProgress): { readonly done: number; readonly wanted: number } {
  const { summary } = service.watched ?? {};
  if (summary === undefined) return { done: 0, wanted: 0 };
  const { running, desired, completed } = summary;
  if (isJob(service)) return { done: completed, wanted: jobTotal(summary) };
  const news = rolloutStatus(service);
  return { done: news.kind === "updating" ? updatedSlots(service, news.done) : running, wanted: desired };
}

function numbers(service: ServiceProgress): string {
  const { watched } = service;
  if (watched === undefined) return "waiting";
  if (watched.removed) return "removed";
  const left = watched.tasks.length;
  if (watched.summary?.service?.removing) return left === 0 ? "removing" : `stopping ${left}`;
  const { done, wanted } = countsOf(service);
  const count = `${done}/${wanted}`;
  if (isJob(service)) return isScheduled(service) ? "scheduled" : `${count} completed`;
  if (isConverged(service)) return `${count} running`;
  return rolloutStatus(service).kind === "updating" ? `updating ${count}` : count;
}

/** Its runs come with their time: there is nothing to wait for. */
function isScheduled({ watched }: ServiceProgress): boolean {
  return watched?.summary?.service?.spec?.cron !== undefined;
}

/** What the tasks that do not run are at, or why they cannot. */
function hint(service: ServiceProgress): string {
  const { watched } = service;
  if (watched === undefined || isConverged(service) || watched.summary?.service?.removing) return "";
  const failure = failureText(service);
  if (failure !== undefined) return ` ${failure}`;
  const news = rolloutStatus(service);
  const going = news.kind === "rolling-back" ? ` rolling back${news.why === "" ? "" : `: ${news.why}`}` : "";
  if (going !== "") return going;
  const [worst] = reasonsOf(service);
  if (worst === undefined) return news.kind === "updating" ? "" : ` ${serverReason(service) ?? "updating"}`;
  return isOnItsWay(service) ? ` ${stateCounts(service)}` : ` ${worst.text}`;
}

/** What the server says of a service that has no task to say it. */
function serverReason({ watched }: ServiceProgress): string | undefined {
  const [reason] = watched?.summary?.reasons ?? [];
  return reason === undefined ? undefined : oneLine(reason);
}

/** Whether all that does not run yet is on its way. */
function isOnItsWay(service: ServiceProgress): boolean {
  return unreadyStates(service).every((state) => state >= TaskState.ASSIGNED && state <= TaskState.STARTING);
}

/** `preparing 2, starting 1` */
function stateCounts(service: ServiceProgress): string {
  const counts = new Map<TaskState, number>();
  for (const state of unreadyStates(service)) counts.set(state, (counts.get(state) ?? 0) + 1);
  return [...counts].map(([state, count]) => `${taskStateName(state)} ${count}`).join(", ");
}

function unreadyStates(service: ServiceProgress): readonly TaskState[] {
  return currentTasks(service)
    .filter((task) => !isDone(service, task))
    .map(stateOf);
}
