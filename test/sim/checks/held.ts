import { DesiredState, type Service, TaskState } from "@berth/proto";
import type { CheckContext } from "./check-context.js";
import { stateOf } from "./records.js";

/** Whether its first tasks wait for another service. */
export function isWaitingForDependency({ id, spec }: Service, { records }: CheckContext): boolean {
  if ((spec?.dependsOn ?? []).length === 0) return false;
  const wanted = records.tasksOf(id).filter(({ desiredState }) => desiredState < DesiredState.SHUTDOWN);
  return (
    wanted.length > 0 &&
    wanted.every((task) => {
      return stateOf(task) === TaskState.NEW && task.status?.message.startsWith("waiting for");
    })
  );
}
