import { TaskState } from "@berth/proto";
import { truncate } from "../output/table.js";
import { taskStateWord } from "../output/words.js";
import { reasonsOf } from "./explain.js";
import { currentTasks, isSettled, type Progress, type ServiceProgress, stateOf } from "./progress.js";

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
  return services.toSorted((a, b) => Number(isSettled(a)) - Number(isSettled(b)));
}

function serviceLine(service: ServiceProgress, nameWidth: number): string {
  const name = truncate(service.name, nameWidth).padEnd(nameWidth);
  return `${name}  ${bar(service)}  ${numbers(service)}${hint(service)}`;
}

function bar({ watched }: ServiceProgress): string {
  const { running = 0, desired = 0 } = watched?.summary ?? {};
  const isWhole = watched?.removed === true || running >= desired;
  const full = watched === undefined ? 0 : isWhole ? BAR_WIDTH : Math.floor((running / desired) * BAR_WIDTH);
  return "█".repeat(full) + "░".repeat(BAR_WIDTH - full);
}

function numbers(service: ServiceProgress): string {
  const { watched } = service;
  if (watched === undefined) return "waiting";
  if (watched.removed) return "removed";
  const left = watched.tasks.length;
  if (watched.summary?.service?.removing) return left === 0 ? "removing" : `stopping ${left}`;
  const { running = 0, desired = 0 } = watched.summary ?? {};
  return `${running}/${desired}${isSettled(service) ? " running" : ""}`;
}

/** What the tasks that do not run are at, or why they cannot. */
function hint(service: ServiceProgress): string {
  const { watched } = service;
  if (watched === undefined || isSettled(service) || watched.summary?.service?.removing) return "";
  const [worst] = reasonsOf(service);
  if (worst === undefined) return " updating";
  const counts = new Map<TaskState, number>();
  for (const task of currentTasks(service)) {
    const state = stateOf(task);
    if (state !== TaskState.RUNNING) counts.set(state, (counts.get(state) ?? 0) + 1);
  }
  const isOnItsWay = [...counts.keys()].every(
    (state) => state >= TaskState.ASSIGNED && state <= TaskState.STARTING,
  );
  if (!isOnItsWay) return ` ${worst.text}`;
  return ` ${[...counts].map(([state, count]) => `${taskStateWord(state)} ${count}`).join(", ")}`;
}
