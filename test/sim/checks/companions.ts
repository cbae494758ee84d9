import { DesiredState, ownerNames, type Service, type ServiceSpec, type Task, TaskState } from "@berth/proto";
import { type CheckContext, type RunningContainer, runningContainers } from "./check-context.js";
import { isFinal, type RecordChange, stateOf } from "./records.js";

/** How long a companion may run after its owner has ended: the report, the decision, and the grace period. */
const ALONE_MS = 10_000;

/** C1: a companion is placed on the node of its owner, and runs only while that task of the owner does. */
export class Companions {
  readonly #context: CheckContext;
  /** When each companion began to run without its owner, by the companion's task. */
  readonly #aloneSinceMs = new Map<string, number>();

  constructor(context: CheckContext) {
    this.#context = context;
  }

  onChange({ tasks }: RecordChange): void {
    const { records, report } = this.#context;
    for (const { before, after } of tasks) {
      if (after === undefined || after.nodeId === "" || before?.nodeId === after.nodeId) continue;
      if (!isCompanion(records.specOf(after.serviceId, after.specVersion))) continue;
      const owners = after.owners.map(({ taskId }) => records.tasks.get(taskId));
      const name = `task ${after.id} (${after.serviceName}.${after.slot})`;
      if (owners.length === 0) report("C1", `${name} is placed without an owner`);
      for (const owner of owners) {
        if (owner !== undefined && owner.nodeId !== after.nodeId)
          report("C1", `${name} goes to ${after.nodeId}, but its owner ${owner.id} is on ${owner.nodeId}`);
      }
    }
  }

  /** Checks the running companions. Called repeatedly. */
  check(): void {
    const { conditions, records, report, cluster } = this.#context;
    const { nowMs } = cluster.world.scheduler;
    const alone = new Set<string>();
    for (const running of runningContainers(this.#context)) {
      const { host, container } = running;
      if (!sharesNetwork(records.specOf(container.serviceId, container.version))) continue;
      if (isBesideOwner(running, records.tasks.get(container.taskId))) continue;
      alone.add(container.taskId);
      const sinceMs = this.#aloneSinceMs.get(container.taskId) ?? nowMs;
      this.#aloneSinceMs.set(container.taskId, sinceMs);
      const aloneMs = Math.min(nowMs - sinceMs, conditions.reportingForMs(host.name));
      if (aloneMs > ALONE_MS && !conditions.isDisrupted(host.name))
        report("C1", `${container.name} runs on ${host.name} without the container whose network it shares`);
    }
    for (const taskId of this.#aloneSinceMs.keys()) if (!alone.has(taskId)) this.#aloneSinceMs.delete(taskId);
  }
}

/** Returns whether the tasks of a service run beside those of another service. */
export function isCompanion(spec: ServiceSpec | undefined): boolean {
  return spec !== undefined && ownerNames(spec).length > 0;
}

function sharesNetwork(spec: ServiceSpec | undefined): boolean {
  return (spec?.task?.container?.sharing?.network ?? "") !== "";
}

/** Returns whether the owner's container runs on the same host and has not restarted since the companion started. */
function isBesideOwner({ host, container }: RunningContainer, task: Task | undefined): boolean {
  const owners = new Set((task?.owners ?? []).map(({ taskId }) => taskId));
  return [...host.docker.containers.values()].some(
    (other) => owners.has(other.taskId) && other.isRunning && other.startedAtMs <= container.startedAtMs,
  );
}

/** Returns a line for each running task of the owner without a companion beside it. */
export function unmetCompanionGoals(
  companion: Service,
  owner: Service | undefined,
  { records, cluster }: CheckContext,
): readonly string[] {
  if (owner === undefined) return [];
  const own = records
    .tasksOf(companion.id)
    .filter((task) => task.desiredState < DesiredState.SHUTDOWN && !isFinal(task));
  const running = new Set(runningContainers({ cluster }).map(({ container }) => container.taskId));
  const owners = records
    .tasksOf(owner.id)
    .filter((task) => task.desiredState < DesiredState.SHUTDOWN && stateOf(task) === TaskState.RUNNING);
  return owners.flatMap((task) => {
    const beside = own.filter(({ owners }) => owners.some(({ taskId }) => taskId === task.id));
    const isMet = beside.some((other) => other.nodeId === task.nodeId && running.has(other.id));
    // A paused or drained node gets no new task, although its owner may still run there.
    const waits = own.some(({ status }) => status?.message.startsWith("it runs beside its owner") === true);
    return isMet || waits
      ? []
      : [`no task of ${companion.spec?.name} runs beside task ${task.id} (${task.serviceName}.${task.slot})`];
  });
}
