import type { Task } from "@berth/proto";
import { byAge, isEnded, shouldRun } from "../model/task-state.js";

/** Returns the newest task of each slot, and every task that is to stop and has not ended. */
export function newestTasks(tasks: readonly Task[]): readonly Task[] {
  const newest = new Map<string, Task>();
  for (const task of tasks) {
    const key = newestKey(task);
    const current = newest.get(key);
    if (current === undefined || byAge(task, current) < 0) newest.set(key, task);
  }
  return tasks.filter((task) => newest.get(newestKey(task)) === task || (!shouldRun(task) && !isEnded(task)));
}

/** Returns the key of a task's slot. A NEW task of a global service belongs to no slot and gets its own key. */
function newestKey(task: Task): string {
  if (task.slot !== 0) return String(task.slot);
  return task.nodeId === "" ? `new/${task.id}` : `node/${task.nodeId}`;
}
