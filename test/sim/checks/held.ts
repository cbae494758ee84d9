import { DesiredState, type Service, TaskState } from "@berth/proto";
import { stateOf } from "./records.js";
import type { Scene } from "./scene.js";

/** Whether its first tasks wait for another service. */
export function isHeld({ id, spec }: Service, { records }: Scene): boolean {
  if ((spec?.dependsOn ?? []).length === 0) return false;
  const wanted = records.tasksOf(id).filter(({ desiredState }) => desiredState < DesiredState.SHUTDOWN);
  return (
    wanted.length > 0 &&
    wanted.every((task) => {
      return stateOf(task) === TaskState.NEW && task.status?.message.startsWith("waiting for");
    })
  );
}
