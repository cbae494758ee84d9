import {
  TaskReplacement_Cause as Cause,
  Health,
  type Service,
  type Task,
  TaskState,
  type TaskView,
} from "@berth/proto";
import { taskSlotKey } from "../model/slots.js";
import {
  byAge,
  endText,
  isDisconnected,
  isEnded,
  isUnhealthy,
  shouldRun,
  stateOf,
} from "../model/task-state.js";
import { currentTaskFilter, templateVersionAt } from "../model/template.js";
import { newestTasks } from "../orchestrator/newest-tasks.js";

/** The tasks of a service, as records. */
export interface TaskViewSource {
  /** The service. Undefined if its record is gone and its tasks are still stopping. */
  readonly service: Service | undefined;
  /** All tasks of the service, including ended tasks, or all tasks of some slots. */
  readonly tasks: readonly Task[];
  /** Whether tasks must leave a node because it is drained. */
  readonly isDrained: (nodeId: string) => boolean;
}

/** The view of a task, with the record that it was computed from. */
export interface KnownTask {
  readonly record: Task;
  readonly view: TaskView;
}

/**
 * Returns the views of the newest task of each slot, and of every task that has to stop, by task ID.
 *
 * Reuses the known views of records that have not changed. What a task replaces is determined when the task is first
 * seen, because the record of its predecessor changes afterwards.
 */
export function viewTasks(
  source: TaskViewSource,
  known: ReadonlyMap<string, KnownTask>,
): ReadonlyMap<string, KnownTask> {
  const { service, tasks } = source;
  const isCurrent = service === undefined ? () => true : currentTaskFilter(service);
  const views = new Map<string, KnownTask>();
  let findPredecessor: ((task: Task) => Task | undefined) | undefined;
  for (const record of newestTasks(tasks)) {
    const before = known.get(record.id);
    const isOutdated = !isCurrent(record);
    if (before?.record === record && before.view.isOutdated === isOutdated) {
      views.set(record.id, before);
      continue;
    }
    // A task of a global service gets its slot together with its node.
    const isNewlyPlaced = before === undefined || taskSlotKey(before.record) !== taskSlotKey(record);
    findPredecessor ??= predecessorFinder(tasks);
    const replaces = isNewlyPlaced
      ? describeReplacement(record, findPredecessor(record), source)
      : before.view.replaces;
    views.set(record.id, { record, view: { ...viewOf(record), isOutdated, replaces } });
  }
  return views;
}

function viewOf(task: Task): Omit<TaskView, "isOutdated" | "replaces"> {
  const { status } = task;
  return {
    id: task.id,
    serviceId: task.serviceId,
    slot: task.slot,
    nodeId: task.nodeId,
    specVersion: task.specVersion,
    state: stateOf(task),
    desiredState: task.desiredState,
    health: status?.health ?? Health.UNSPECIFIED,
    message: status?.message ?? "",
    errorCode: status?.errorCode ?? "",
    sinceMs: status?.sinceMs ?? task.createdAtMs,
    createdAtMs: task.createdAtMs,
    runningSinceMs: status?.runningSinceMs,
    exitCode: status?.exitCode,
    restarts: task.restarts,
    jobIteration: task.jobIteration,
  };
}

/** Returns a function that finds the previous task of the same slot. */
function predecessorFinder(tasks: readonly Task[]): (task: Task) => Task | undefined {
  const bySlot = new Map<string, Task[]>();
  for (const task of tasks) {
    const key = taskSlotKey(task);
    if (key === "") continue;
    const slot = bySlot.get(key);
    if (slot === undefined) {
      bySlot.set(key, [task]);
    } else {
      slot.push(task);
    }
  }
  return (task) => {
    const older = (bySlot.get(taskSlotKey(task)) ?? []).filter(
      (other) => other.jobIteration === task.jobIteration && byAge(other, task) > 0,
    );
    return older.sort(byAge)[0];
  };
}

function describeReplacement(
  task: Task,
  predecessor: Task | undefined,
  { service, isDrained }: TaskViewSource,
): TaskView["replaces"] {
  if (predecessor === undefined) return undefined;
  return {
    taskId: predecessor.id,
    nodeId: predecessor.nodeId,
    ...explainReplacement(task, predecessor, { service, isDrained }),
  };
}

function explainReplacement(
  task: Task,
  predecessor: Task,
  { service, isDrained }: Pick<TaskViewSource, "service" | "isDrained">,
): { readonly cause: Cause; readonly message: string } {
  const message = predecessor.status?.message ?? "";
  if (stateOf(predecessor) === TaskState.LOST || isDisconnected(predecessor)) {
    return { cause: Cause.NODE_LOSS, message };
  }
  if (service !== undefined && hasOtherTemplate(task, predecessor, service)) {
    return { cause: Cause.UPDATE, message: `version ${predecessor.specVersion} → ${task.specVersion}` };
  }
  if (isUnhealthy(predecessor)) return { cause: Cause.UNHEALTHY, message };
  if (isDrained(predecessor.nodeId)) return { cause: Cause.DRAIN, message: "its node is drained" };
  const hasEndedByItself = isEnded(predecessor) && shouldRun(predecessor);
  return hasEndedByItself
    ? { cause: Cause.ENDED, message: endText(predecessor) }
    : { cause: Cause.MOVE, message };
}

function hasOtherTemplate(a: Task, b: Task, service: Service): boolean {
  return templateVersionAt(service, a.specVersion) !== templateVersionAt(service, b.specVersion);
}
