import { Dependency_Condition, DesiredState, type Service, type Task, TaskState } from "@berth/proto";
import type { SimContainer } from "../docker/sim-container.js";
import type { CheckContext } from "./check-context.js";
import { isJob, type RecordChange, stateOf } from "./records.js";
import { replicasOf } from "./task-counts.js";

/** What was observed of all services with the same name. */
interface Seen {
  /** Slots in which a container was started, was healthy, and completed. */
  readonly started: Set<string>;
  readonly healthy: Set<string>;
  readonly completed: Set<string>;
  /** Lowest number of tasks that was ever requested. */
  fewest: number;
}

/** W1: a service starts its first task only after its dependencies were met, according to Docker. */
export class Dependencies {
  readonly #context: CheckContext;
  readonly #seen = new Map<string, Seen>();
  /** Services that have had a task on a node. */
  readonly #begun = new Set<string>();

  constructor(context: CheckContext) {
    this.#context = context;
  }

  noteContainer(host: string, container: SimContainer, what: string): void {
    const { records } = this.#context;
    const name = records.services.get(container.serviceId)?.spec?.name;
    if (name === undefined) return;
    const { started, healthy, completed } = this.#of(name);
    const slot = container.slot === 0 ? host : String(container.slot);
    if (what === "started") started.add(slot);
    if (container.isRunning && (container.health === "none" || container.health === "healthy")) {
      healthy.add(slot);
    }
    if (what === "ended" && container.exitCode === 0) completed.add(slot);
  }

  onChange({ services, tasks }: RecordChange): void {
    for (const { after } of services) {
      if (after?.spec === undefined) continue;
      const seen = this.#of(after.spec.name);
      seen.fewest = Math.min(seen.fewest, tasksWanted(after));
    }
    for (const { before, after } of tasks) {
      if (after === undefined || after.nodeId === "" || before?.nodeId === after.nodeId) continue;
      if (this.#begun.has(after.serviceId) || after.status?.state === TaskState.NEW) continue;
      this.#begun.add(after.serviceId);
      const service = this.#context.records.services.get(after.serviceId);
      if (service !== undefined) this.#checkFirst(service);
    }
  }

  #checkFirst({ spec }: Service): void {
    const { report } = this.#context;
    for (const { service, condition } of spec?.dependsOn ?? []) {
      const seen = this.#of(service);
      const { slots, word } = slotsOf(seen, condition);
      if (slots.size >= seen.fewest) continue;
      report("W1", `${spec?.name} begins, but only ${slots.size} of ${service} were ever ${word}`);
    }
  }

  #of(name: string): Seen {
    const known = this.#seen.get(name);
    if (known !== undefined) return known;
    const seen = {
      started: new Set<string>(),
      healthy: new Set<string>(),
      completed: new Set<string>(),
      fewest: Number.POSITIVE_INFINITY,
    };
    this.#seen.set(name, seen);
    return seen;
  }
}

function slotsOf(
  { started, healthy, completed }: Seen,
  condition: Dependency_Condition,
): { readonly slots: ReadonlySet<string>; readonly word: string } {
  if (condition === Dependency_Condition.COMPLETED) return { slots: completed, word: "completed" };
  if (condition === Dependency_Condition.HEALTHY) return { slots: healthy, word: "well" };
  return { slots: started, word: "started" };
}

/** Returns a lower bound of the number of tasks. A global service has none if all nodes are drained. */
function tasksWanted(service: Service): number {
  const { mode } = service.spec ?? {};
  if (mode?.$case === "replicatedJob") return mode.value.totalCompletions;
  return isJob(service.spec) ? 1 : replicasOf(service);
}

/** Returns whether all tasks of the service are waiting for a dependency. */
export function isWaitingForDependency({ id, spec }: Service, { records }: CheckContext): boolean {
  if ((spec?.dependsOn ?? []).length === 0) return false;
  const desired = records.tasksOf(id).filter(({ desiredState }) => desiredState < DesiredState.SHUTDOWN);
  const waits = (task: Task): boolean =>
    stateOf(task) === TaskState.NEW && task.status?.message.startsWith("waiting for") === true;
  return desired.length > 0 && desired.every(waits);
}
