import type { ServiceSpec, Task } from "@berth/proto";
import { isEnded, shouldRun } from "../model/task-state.js";

/** Returns the specs that the running tasks of a service were created from, by version. */
export function findSpecsInUse(
  tasks: Iterable<Task>,
  findSpec: (version: number) => ServiceSpec | undefined,
): ReadonlyMap<number, ServiceSpec> {
  const specs = new Map<number, ServiceSpec>();
  for (const task of tasks) {
    if (specs.has(task.specVersion) || !shouldRun(task) || isEnded(task)) continue;
    const spec = findSpec(task.specVersion);
    if (spec !== undefined) specs.set(task.specVersion, spec);
  }
  return specs;
}
