import type { AssignedSpec, TaskStatus } from "@berth/proto";
import { isAlive, type ObservedContainer } from "../core/docker/observed-container.js";
import type { OwnerView } from "../core/tasks/owner-containers.js";
import type { Assignment } from "../core/tasks/task-view.js";
import type { RunningContainer } from "../node/host/process-watch.js";
import { TaskRecord } from "./task-record.js";

/** A task with addresses in networks, and the DNS servers and links that its service configures. */
export interface NetworkedTask {
  readonly status: TaskStatus;
  readonly dns: readonly string[];
  readonly links: Readonly<Record<string, string>>;
}

/** Read access to the tasks of this node. */
export type KnownTasks = Pick<
  TaskRecords,
  "statuses" | "statusOf" | "containerOf" | "runningContainers" | "hasEnded" | "networkedTasks"
>;

/** Maximum number of ended tasks that are remembered. Tables may contain them while the leader is unreachable. */
const MAX_ENDED = 1_000;

/** Maximum number of tasks in the search for a network namespace, in case the leader sends a cycle. */
const MAX_SHARING_DEPTH = 16;

/** The records of this node's tasks, by task ID. */
export class TaskRecords {
  readonly #records = new Map<string, TaskRecord>();
  /** IDs of the tasks that ended last and whose records are deleted. */
  readonly #endedIds = new Set<string>();

  [Symbol.iterator](): Iterator<TaskRecord> {
    return this.#records.values();
  }

  get(taskId: string): TaskRecord | undefined {
    return this.#records.get(taskId);
  }

  getOrCreate(taskId: string): TaskRecord {
    const existing = this.#records.get(taskId);
    if (existing !== undefined) return existing;
    const record = new TaskRecord(taskId);
    this.#records.set(taskId, record);
    return record;
  }

  delete(taskId: string): void {
    if (this.hasEnded(taskId)) this.#endedIds.add(taskId);
    this.#records.delete(taskId);
    const [oldest] = this.#endedIds;
    if (this.#endedIds.size > MAX_ENDED && oldest !== undefined) this.#endedIds.delete(oldest);
  }

  /** Returns the status of each task, for the state file. */
  statuses(): ReadonlyMap<string, TaskStatus> {
    const statuses = new Map<string, TaskStatus>();
    for (const { taskId, status } of this) if (status) statuses.set(taskId, status);
    return statuses;
  }

  /** Returns the status that was decided last, or undefined for an unknown task. */
  statusOf(taskId: string): TaskStatus | undefined {
    return this.#records.get(taskId)?.status;
  }

  /** Returns the owners of a task. */
  ownersOf({ assignment }: TaskRecord): readonly OwnerView[] {
    return (assignment?.task.owners ?? []).map(({ service, taskId }) => {
      const owner = this.#records.get(taskId)?.assignment;
      const container = this.containerOf(taskId);
      return { service, taskId, assignment: owner, container, networkSpec: this.#networkSpec(owner) };
    });
  }

  /** Returns the named resources that other tasks have, or undefined while a container was not inspected yet. */
  resourcesOfOthers(taskId: string): ReadonlySet<string> | undefined {
    const assignedResources = new Set<string>();
    for (const record of this) {
      if (record.taskId === taskId) continue;
      if (record.isUnexplored) return undefined;
      for (const resource of record.resources) assignedResources.add(resource);
    }
    return assignedResources;
  }

  /** Yields the companions of a task. */
  *companionsOf(taskId: string): Generator<string> {
    for (const { taskId: id, assignment } of this) {
      if (assignment?.task.owners.some((owner) => owner.taskId === taskId)) yield id;
    }
  }

  /** Returns the spec of the task whose network namespace a task uses, which may share that of another one in turn. */
  #networkSpec(assignment: Assignment | undefined, depth = 0): AssignedSpec | undefined {
    const service = assignment?.spec.task?.container?.sharing?.network ?? "";
    const owner = assignment?.task.owners.find((each) => each.service === service);
    if (owner === undefined || depth >= MAX_SHARING_DEPTH) return assignment?.spec;
    return this.#networkSpec(this.#records.get(owner.taskId)?.assignment, depth + 1);
  }

  /** Returns the task's container as last observed. */
  containerOf(taskId: string): ObservedContainer | undefined {
    const containers = this.#records.get(taskId)?.containers.values();
    return containers?.next().value;
  }

  /** Yields the containers that were running when they were last observed. */
  *runningContainers(): Generator<RunningContainer> {
    for (const { taskId, containers } of this) {
      for (const container of containers.values()) {
        const { id: containerId, processId } = container;
        if (processId > 0 && isAlive(container)) yield { taskId, containerId, processId };
      }
    }
  }

  /** Returns whether the task had a container here that has ended. Tasks never start again. */
  hasEnded(taskId: string): boolean {
    return this.#records.get(taskId)?.hasEnded ?? this.#endedIds.has(taskId);
  }

  /** Yields the tasks that have addresses in networks. */
  *networkedTasks(): Generator<NetworkedTask> {
    for (const { status, assignment } of this) {
      if (status === undefined || status.addresses.length === 0) continue;
      const { dns = [], links = {} } = assignment?.spec.task?.container ?? {};
      yield { status, dns, links };
    }
  }

  /**
   * Yields the tasks whose specs have secrets or configs. While one of them is missing, only its arrival gives them a next
   * step.
   */
  *taskIdsWithFiles(): Generator<string> {
    for (const { taskId, assignment } of this) {
      if ((assignment?.spec.task?.container?.files.length ?? 0) > 0) yield taskId;
    }
  }

  /**
   * Yields the tasks whose specs name networks. While a network is not ready, only its change gives them a next step.
   */
  *taskIdsWithNetworks(): Generator<string> {
    for (const { taskId, assignment } of this) {
      if ((assignment?.spec.task?.networks.length ?? 0) > 0) yield taskId;
    }
  }
}
