import type { ServiceSpec, Task } from "@berth/proto";
import { isEnded, shouldRun } from "../../model/task-state.js";

/** What the tasks of a service that are to go on are made from, by version. */
export function specsInUse(
  tasks: Iterable<Task>,
  specOf: (version: number) => ServiceSpec | undefined,
): ReadonlyMap<number, ServiceSpec> {
  const specs = new Map<number, ServiceSpec>();
  for (const task of tasks) {
    if (specs.has(task.specVersion) || !shouldRun(task) || isEnded(task)) continue;
    const spec = specOf(task.specVersion);
    if (spec !== undefined) specs.set(task.specVersion, spec);
  }
  return specs;
}
