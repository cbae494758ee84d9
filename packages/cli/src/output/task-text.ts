import { type Service, type Task, TaskState, taskStatusText } from "@berth/proto";
import { taskStateName } from "./state-names.js";
import { oneLine } from "./table.js";

type TaskSlot = Pick<Task, "serviceName" | "slot" | "nodeId">;

/** Returns the number of the slot, or the node of a global service, which has one slot per node. */
export function slotName({ slot, nodeId }: Pick<Task, "slot" | "nodeId">): string {
  return slot === 0 ? nodeId : String(slot);
}

/** Returns `shop_web.1`, or `shop_agent.NODE` for a global service. */
export function taskName(task: TaskSlot): string {
  return `${task.serviceName}.${slotName(task)}`;
}

/** Returns the state that the agent reported last. */
export function taskState(task: Task): TaskState {
  return task.status?.state ?? TaskState.UNSPECIFIED;
}

/** Returns whether the task is in a terminal state. */
export function hasEnded(task: Task): boolean {
  return taskState(task) >= TaskState.COMPLETE;
}

/** Returns whether the task failed or its node rejected it. */
export function isFailed(task: Task): boolean {
  return taskState(task) === TaskState.FAILED || taskState(task) === TaskState.REJECTED;
}

/** Returns the text of a task's status in one line. */
export function statusMessage({ status }: Task): string {
  return oneLine(taskStatusText(status));
}

/** Returns the number of tasks in each state: `preparing 2, starting 1`. */
export function countByState(tasks: readonly Task[]): string {
  const counts = new Map<TaskState, number>();
  for (const task of tasks) counts.set(taskState(task), (counts.get(taskState(task)) ?? 0) + 1);
  return [...counts].map(([state, count]) => `${taskStateName(state)} ${count}`).join(", ");
}

/**
 * Returns a predicate for the tasks that run the current template of a service. After a rollback, tasks of an older
 * version can be current again.
 */
export function currentTaskFilter(service: Service | undefined): (task: Task) => boolean {
  if (service === undefined) return () => true;
  const { templates, templateVersion } = service;
  if (templates.length === 0) return ({ specVersion }) => specVersion >= templateVersion;
  return ({ specVersion }) => {
    const template = templates.findLast(({ version }) => version <= specVersion);
    return template?.templateVersion === templateVersion;
  };
}
